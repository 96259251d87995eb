// The node-opcua server, as a program: `node server.cjs PORT FOLDER`, with node-opcua's packages on NODE_PATH.
// It offers what opcua_python_server.py does and the other kinds of opcua_server.KINDS; its files go to FOLDER.
// MAX_SUBSCRIPTIONS in the environment: as many for one session. NO_TRANSLATION=1: paths are not translated.
// SIGUSR2 deletes `Loaded` and `Moved`, the next one adds them again, as the download of a PLC program does: `Loaded` under
// its own node id, `Moved` under another one; both count the programs.
"use strict";

const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { coerceLocalizedText, coerceQualifiedName } = require("node-opcua-data-model");
const { resolveNodeId } = require("node-opcua-nodeid");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { standardUnits } = require("node-opcua-data-access");
const { ServiceFault } = require("node-opcua-service-secure-channel");
const { OPCUAServer } = require("node-opcua-server");
const { StatusCodes } = require("node-opcua-status-code");
const { DataType, Variant, VariantArrayType } = require("node-opcua-variant");

const URI = "http://test.example/machine";
const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const most = Number(process.env.MAX_SUBSCRIPTIONS || 0);

// A 64-bit number is a pair of its high and low half here.
const SCALARS = {
    Boolean: true, SByte: -5, Byte: 200, Int16: -3000, UInt16: 60000, Int32: -(2 ** 31), UInt32: 2 ** 32 - 1,
    Int64: [0xc0000000, 0], UInt64: [0xffffffff, 0xffffffff], Float: 1.5, Double: 0.1,
    String: "主轴 spindle", DateTime: new Date("2026-11-23T08:00:00.250Z"),
    Guid: "12345678-1234-5678-1234-567812345678", ByteString: Buffer.from([0x01, 0xff]),
    LocalizedText: coerceLocalizedText({ text: "运行", locale: "zh" }),
    QualifiedName: coerceQualifiedName({ name: "Name", namespaceIndex: 2 }), NodeId: resolveNodeId("ns=2;s=x"),
};
const ARRAYS = {
    Double: new Float64Array([1.5, -2.5]), Int32: new Int32Array([1, 2, 3]), Boolean: [true, false],
    String: ["a", "二"],
};

function fill(space) {
    const own = space.registerNamespace(URI);
    const machine = own.addObject({
        organizedBy: space.rootFolder.objects, browseName: "Machine", nodeId: "s=Machine",
    });
    const add = (
        name, type, value, status = StatusCodes.Good, arrayType = VariantArrayType.Scalar, identifier = name,
    ) => {
        const dataType = DataType[type];
        const node = own.addVariable({
            componentOf: machine, browseName: name, nodeId: `s=${identifier}`, dataType, minimumSamplingInterval: 0,
            valueRank: arrayType === VariantArrayType.Array ? 1 : -1,
        });
        node.setValueFromSource(new Variant({ dataType, arrayType, value }), status);
        return node;
    };
    for (const [type, value] of Object.entries(SCALARS)) add(type, type, value);
    for (const [type, value] of Object.entries(ARRAYS)) {
        add(`${type}[]`, type, value, StatusCodes.Good, VariantArrayType.Array);
    }
    add("Bad", "Double", 2.0, StatusCodes.BadSensorFailure);
    add("Uncertain", "Double", 3.0, StatusCodes.UncertainSensorNotAccurate);
    own.addAnalogDataItem({
        componentOf: machine, browseName: "Temperature", nodeId: "s=Temperature", dataType: "Double",
        engineeringUnitsRange: { low: -5, high: 120.5 }, engineeringUnits: standardUnits.degree_celsius,
    });
    let programs = 0;
    const load = () => {
        programs += 1;
        const scalar = [StatusCodes.Good, VariantArrayType.Scalar];
        return [
            add("Loaded", "Double", programs, ...scalar), add("Moved", "Double", programs, ...scalar, `Moved-${programs}`),
        ];
    };
    let program = load();
    process.on("SIGUSR2", () => {
        if (program) program.forEach((node) => space.deleteNode(node));
        program = program ? null : load();
    });
    return add("Counter", "Double", 0);
}

async function main() {
    // Without managers of its own, node-opcua puts certificates into the user's home.
    const manager = (name) => new OPCUACertificateManager({ rootFolder: `${folder}/${name}` });
    const server = new OPCUAServer({
        port, host: "127.0.0.1", hostname: "127.0.0.1", resourcePath: "/test",
        securityModes: [MessageSecurityMode.None], securityPolicies: [SecurityPolicy.None], disableDiscovery: true,
        serverCapabilities: most ? { maxSubscriptionsPerSession: most } : {},
        serverCertificateManager: manager("own"), userCertificateManager: manager("users"),
    });
    await server.initialize();
    const counter = fill(server.engine.addressSpace);
    if (process.env.NO_TRANSLATION) {
        server.engine.browsePath = async () => { throw new Error("not offered by this server"); };
        server._on_TranslateBrowsePathsToNodeIdsRequest = (message, channel) => channel.send_response(
            "MSG",
            new ServiceFault({ responseHeader: { serviceResult: StatusCodes.BadServiceUnsupported } }),
            message,
        );
    }
    await server.start();
    let value = 0;
    const count = () => counter.setValueFromSource({ dataType: DataType.Double, value: ++value });
    setInterval(count, 50); // the poll interval of this simulated machine
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
