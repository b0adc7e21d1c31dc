// Alarms as node-opcua sees them, with its own alarm monitoring, unchanged.
//
//     node alarms.js ENDPOINT
//
// Waits on a running demo until the drift alarm of Motor1 is active, comments it, acknowledges it, and checks the words.
// Exit codes: 0 as it should be, 1 not.
"use strict";

const assert = require("node:assert");
const { OPCUAClient, installAlarmMonitoring, uninstallAlarmMonitoring, StatusCodes, AttributeIds } = require("node-opcua-client");

const DRIFT = "ns=2;s=Motor1.Drift.DataDrift.DriftAlarm";
const PATIENCE = 180_000;

const value = (alarm, name) => alarm.getField(name)?.value;

/** The drift alarm, as soon as `wanted` holds for it. */
function until(alarms, wanted, what) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`not within ${PATIENCE} ms: ${what}`)), PATIENCE);
        const look = () => {
            const alarm = alarms.alarms().find((a) => a.conditionId.toString() === DRIFT);
            if (!alarm || !wanted(alarm)) return;
            clearTimeout(timer);
            for (const event of ["newAlarm", "alarmChanged"]) alarms.removeListener(event, look);
            resolve(alarm);
        };
        for (const event of ["newAlarm", "alarmChanged"]) alarms.on(event, look);
        look();
    });
}

async function run(endpoint) {
    const client = OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 1 } });
    await client.connect(endpoint);
    const session = await client.createSession();
    const read = async (path) => (await session.read({ nodeId: `ns=2;s=${path}`, attributeId: AttributeIds.Value })).value.value;
    try {
        const alarms = await installAlarmMonitoring(session);
        const active = await until(alarms, (a) => a.getField("activeState")?.value?.text === "Active", "the drift alarm is active");
        console.log(`active: severity ${value(active, "severity")}, ${value(active, "message").text}`);
        assert.ok([400, 600].includes(value(active, "severity")));
        const drift = await until(alarms, (a) => value(a, "severity") === 600, "severity 600");
        assert.strictEqual(value(drift, "retain"), true);
        assert.strictEqual(value(drift, "ackedState").text, "Unacknowledged");
        assert.ok((await read("Motor1.Alarms.UnackedWord")) & 2);

        const commented = await session.addCommentCondition(drift.conditionId, value(drift, "eventId"), "looked at");
        assert.strictEqual(commented, StatusCodes.Good);
        const acknowledged = await session.acknowledgeCondition(drift.conditionId, value(drift, "eventId"), "seen");
        assert.strictEqual(acknowledged, StatusCodes.Good);
        const seen = await until(alarms, (a) => value(a, "ackedState").text === "Acknowledged", "it is acknowledged");
        assert.strictEqual(value(seen, "comment").text, "seen");
        const again = await session.acknowledgeCondition(seen.conditionId, value(seen, "eventId"), "again");
        assert.strictEqual(again, StatusCodes.BadConditionBranchAlreadyAcked);
        console.log(`acknowledged by ${value(seen, "clientUserId")}: ${value(seen, "comment").text}`);
        console.log(`alarms known: ${alarms.alarms().map((a) => a.conditionId.toString()).join(", ")}`);
        await uninstallAlarmMonitoring(session);
    } finally {
        await session.close();
        await client.disconnect();
    }
}

run(process.argv[2]).catch((error) => {
    console.error(error);
    process.exit(1);
});
