/* A Modbus server on libmodbus, as a foreign implementation for tests:  server tcp PORT | server rtu DEVICE UNIT
 * 200 points in each table: holding n = 7n+1, input n = 65535-n, coil n = (n % 3 == 0), discrete n = (n % 5 == 0). */
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

static void serve(modbus_t *ctx, modbus_mapping_t *map) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int n = modbus_receive(ctx, query);
        if (n == -1) return;
        if (n > 0) modbus_reply(ctx, query, n, map);
    }
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc < 3) return 2;
    modbus_mapping_t *map = modbus_mapping_new(200, 200, 200, 200);
    for (int n = 0; n < 200; n++) {
        map->tab_registers[n] = 7 * n + 1;
        map->tab_input_registers[n] = 65535 - n;
        map->tab_bits[n] = n % 3 == 0;
        map->tab_input_bits[n] = n % 5 == 0;
    }
    if (strcmp(argv[1], "tcp") == 0) {
        modbus_t *ctx = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
        int listener = modbus_tcp_listen(ctx, 5);
        if (listener == -1) return 1;
        for (;;) {
            modbus_tcp_accept(ctx, &listener);
            serve(ctx, map);
        }
    }
    modbus_t *ctx = modbus_new_rtu(argv[2], 19200, 'E', 8, 1);
    modbus_set_slave(ctx, atoi(argv[3]));
    if (modbus_connect(ctx) == -1) return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        serve(ctx, map);
        usleep(1000);
    }
}
