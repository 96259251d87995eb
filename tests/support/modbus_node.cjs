// A Modbus TCP server of modbus-serial (npm). Arguments: the port. Holding register n holds 3 n + 1, input register n
// holds 1000 + n; units other than 1 do not answer.
"use strict";
const ServerTCP = require("modbus-serial/servers/servertcp");

const registers = (value) => (address, count, unit, done) =>
    address + count > 200
        ? done({ modbusErrorCode: 2, msg: "no such register" })
        : done(null, Array.from({ length: count }, (_, at) => value(address + at)));

new ServerTCP(
    {
        getMultipleHoldingRegisters: registers((n) => 3 * n + 1),
        getMultipleInputRegisters: registers((n) => 1000 + n),
        getHoldingRegister: (address, unit, done) => done(null, 3 * address + 1),
        getInputRegister: (address, unit, done) => done(null, 1000 + address),
    },
    { host: "127.0.0.1", port: Number(process.argv[2]), unitID: 1 },
);
