// A machine tool after OPC 40501-1 with the official node sets: `node machinetool.cjs PORT FOLDER`, on node-opcua.
// NAME in the environment: the machine's own name. BULK: so many more variables, in folders of 500. MOST: nodes in one
// Browse and attributes in one Read that the server takes.
"use strict";

const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { coerceLocalizedText } = require("node-opcua-data-model");
const { standardUnits } = require("node-opcua-data-access");
const { nodesets } = require("node-opcua-nodesets");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { OPCUAServer } = require("node-opcua-server");
const { DataType, Variant } = require("node-opcua-variant");

const [port, folder] = [Number(process.argv[2]), process.argv[3]];
const name = process.env.NAME || "车床七号";
const bulk = Number(process.env.BULK || 0);
const most = Number(process.env.MOST || 0);

function machine(space) {
    const index = (uri) => space.getNamespaceIndex(uri);
    const tool = space.getNamespace(index("http://opcfoundation.org/UA/MachineTool/"));
    const machinery = index("http://opcfoundation.org/UA/Machinery/");
    const own = space.registerNamespace("http://test.example/lathe");
    const machines = space.findNode(`ns=${machinery};i=1001`);
    const type = tool.findObjectType("MachineToolType");
    // A vendor's own subtype, as vendors have: it is recognised by what it is a subtype of.
    const ours = own.addObjectType({ browseName: "LatheType", subtypeOf: type });
    const instance = ours.instantiate({ browseName: { name, namespaceIndex: own.index }, organizedBy: machines,
        optionals: ["Monitoring.MachineTool.FeedOverride", "Monitoring.MachineTool.PowerOnDuration"] });
    const set = (node, dataType, value) => node.setValueFromSource(new Variant({ dataType, value }));
    const identification = instance.getComponentByName("Identification") || instance.getChildByName("Identification");
    set(identification.getPropertyByName("Manufacturer"), DataType.LocalizedText,
        coerceLocalizedText({ text: "沈阳机床", locale: "zh" }));
    set(identification.getPropertyByName("SerialNumber"), DataType.String, "SN-0042");
    set(identification.getPropertyByName("ProductInstanceUri"), DataType.String, "urn:lathe:42");
    const monitoring = instance.getChildByName("Monitoring");
    const mode = monitoring.getChildByName("MachineTool").getChildByName("OperationMode");
    set(mode, DataType.Int32, 1);
    const channelType = tool.findObjectType("ChannelMonitoringType");
    const channel = channelType.instantiate({
        browseName: { name: "通道A", namespaceIndex: own.index }, componentOf: monitoring,
    });
    set(channel.getChildByName("ChannelState"), DataType.Int32, 0);
    const speed = own.addAnalogDataItem({
        componentOf: instance, browseName: "SpindleSpeed", nodeId: "s=SpindleSpeed", dataType: "Double",
        description: [coerceLocalizedText({ text: "主轴转速", locale: "zh" })][0],
        engineeringUnitsRange: { low: 0, high: 6000 }, engineeringUnits: standardUnits.revolutions_per_minute,
        value: new Variant({ dataType: DataType.Double, value: 1526.7 }),
    });
    return [own, speed];
}

function fill(own, parent, count) {
    let group = null;
    for (let n = 0; n < count; n++) {
        if (n % 500 === 0) {
            group = own.addFolder(parent, { browseName: `Group${n / 500}`, nodeId: `s=Group${n / 500}` });
        }
        own.addVariable({
            componentOf: group, browseName: `n${n}`, nodeId: `s=n${n}`, dataType: "Double",
            value: new Variant({ dataType: DataType.Double, value: n }),
        });
    }
}

async function main() {
    const manager = (part) => new OPCUACertificateManager({ rootFolder: `${folder}/${part}` });
    const limits = most ? { maxNodesPerBrowse: most, maxNodesPerRead: most } : {};
    const server = new OPCUAServer({
        port, hostname: "127.0.0.1", resourcePath: "/lathe",
        serverCertificateManager: manager("pki"), userCertificateManager: manager("user"),
        securityPolicies: [SecurityPolicy.None], securityModes: [MessageSecurityMode.None],
        nodeset_filename: [nodesets.standard, nodesets.di, nodesets.machinery, nodesets.isa95JobControl, nodesets.machineryJobs, nodesets.ia, nodesets.machineTool],
        serverCapabilities: { operationLimits: limits },
    });
    await server.initialize();
    const space = server.engine.addressSpace;
    const [own] = machine(space);
    if (bulk) fill(own, space.rootFolder.objects, bulk);
    await server.start();
}

main().catch((error) => { console.error(error); process.exit(1); });
