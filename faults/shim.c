/* Preloaded into a process under test: a wall clock that is wrong, and syncs that fail.
 * The control block is a file of two 64-bit numbers: seconds to add to CLOCK_REALTIME, and the percentage of
 * fsync/fdatasync calls that fail with EIO without reaching the disk. CLOCK_MONOTONIC is left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
    if (map != MAP_FAILED) control = map;
    if (fd >= 0) close(fd);
}

static int64_t offset(void) { return control ? control[0] : 0; }

static int fails(void) { return control && control[1] > 0 && rand() % 100 < control[1]; }

int clock_gettime(clockid_t id, struct timespec *out) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(id, out);
    if (code == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) out->tv_sec += offset();
    return code;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
    int code = real(out, zone);
    if (code == 0 && out) out->tv_sec += offset();
    return code;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

static int sync_or_fail(int fd, const char *name, int (**real)(int)) {
    if (fails()) {
        errno = EIO;
        return -1;
    }
    if (!*real) *real = dlsym(RTLD_NEXT, name);
    return (*real)(fd);
}

int fdatasync(int fd) {
    static int (*real)(int);
    return sync_or_fail(fd, "fdatasync", &real);
}

int fsync(int fd) {
    static int (*real)(int);
    return sync_or_fail(fd, "fsync", &real);
}
