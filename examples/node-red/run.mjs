#!/usr/bin/env node
// Starts the demo and Node-RED with the flow. See --help.

import { copyFileSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, Problem, eventually, freePort, gatewayProgram, installPackages, number, options, run } from '../processes.mjs';

const HELP = `usage: node examples/node-red/run.mjs [options]
Installs Node-RED, starts driftgate's demo and Node-RED with the flow, prints the addresses, and ends both at Ctrl-C.

  --driftgate FILE     driftgate's program [target/release/driftgate, or target/debug/driftgate]
  --modules DIR        where the packages are installed, about 300 MB [target/node-red]
  --port N             Node-RED's port on this computer; 0: a free one [1880]
  --speed N            story time of the demo over real time [10]
  --endpoint URL       watch this gateway instead of a demo; its machine must be named Motor1
  --user NAME          log in as [engineer, one of the demo's]; the password: DRIFTGATE_PASSWORD [demo]
  --check              see values arrive, write a parameter and see it take effect, have a wrong one refused, wait for the message on drift; then end

Exit codes: 0 ended as asked, 1 something failed, 2 wrong usage.`;

const given = options({
    driftgate: { type: 'string' }, modules: { type: 'string', default: join(ROOT, 'target/node-red') }, port: { type: 'string', default: '1880' },
    speed: { type: 'string', default: '10' }, endpoint: { type: 'string' }, user: { type: 'string', default: 'engineer' }, check: { type: 'boolean' },
}, HELP);

/** All of Node-RED's files: settings, the flow with its endpoint, and the login, which Node-RED keeps beside the flow. */
function userDirectory(directory, port, endpoint, user, password, modules) {
    const flow = JSON.parse(readFileSync(fileURLToPath(new URL('flow.json', import.meta.url)), 'utf8'));
    flow.find((node) => node.type === 'OpcUa-Endpoint').endpoint = endpoint;
    const settings = {
        uiHost: '127.0.0.1', uiPort: port, flowFile: 'flow.json', credentialSecret: false,
        telemetry: { enabled: false }, editorTheme: { tours: false }, logging: { console: { level: 'info', metrics: false, audit: false } },
    };
    // Node-RED looks for nodes among the packages of its own directory.
    copyFileSync(join(modules, 'package.json'), join(directory, 'package.json'));
    symlinkSync(join(modules, 'node_modules'), join(directory, 'node_modules'), 'dir');
    writeFileSync(join(directory, 'flow.json'), JSON.stringify(flow));
    writeFileSync(join(directory, 'flow_cred.json'), JSON.stringify({ endpoint: { user, password } }), { mode: 0o600 });
    writeFileSync(join(directory, 'settings.js'), `module.exports = ${JSON.stringify(settings)};\n`);
}

/** Presses an inject node's button. */
async function press(address, id) {
    const answer = await fetch(`${address}/inject/${id}`, { method: 'POST' });
    if (!answer.ok) throw new Problem(`Node-RED: inject ${id}: ${answer.status}`);
}

/** The flow's lines: the last value of each node, and the messages. */
class Lines {
    values = new Map();
    messages = [];

    take(line) {
        const value = /(Motor1\.\S+) = (.*)$/.exec(line);
        if (value) this.values.set(value[1], value[2]);
        const message = /MESSAGE: (.*)$/.exec(line);
        if (message) this.messages.push(message[1]);
    }

    async shows(path, wanted, seconds) {
        const found = await eventually(`${path} as wanted`, seconds, () => {
            const last = this.values.get(path);
            return last !== undefined && wanted(last) ? last : undefined;
        });
        console.log(`${path} = ${found}`);
    }
}

async function check(address, lines) {
    const limit = 'Motor1.Drift.DataDrift.ConsecutiveLimit';
    await lines.shows('Motor1.Regimes.ActiveKey', (value) => value.startsWith('Voltage='), 60);
    await lines.shows('Motor1.Drift.Status', (value) => /^[0-6]$/.test(value), 30);
    await press(address, 'four');
    await lines.shows(`${limit}.EffectiveValue`, (value) => value === '4', 30);
    await press(address, 'too_many');
    await lines.shows(`${limit}.LastErrorText`, (value) => value.includes('5000'), 30);
    await lines.shows(`${limit}.EffectiveValue`, (value) => value === '4', 1);
    await lines.shows('Motor1.Drift.DriftIndex', (value) => Number(value) >= 0 && value !== 'null', 120);
    await eventually('a message on drift', 300, () => lines.messages[0]);
    console.log(`message: ${lines.messages[0]}`);
}

run(async (programs) => {
    const modules = resolve(given.modules);
    const program = given.endpoint ? undefined : gatewayProgram(given.driftgate);
    installPackages(fileURLToPath(new URL('package.json', import.meta.url)), modules);
    const nodeRed = dirname(createRequire(join(modules, 'package.json')).resolve('node-red/package.json'));

    const endpoint = given.endpoint ?? (await programs.demo(program, 0, number(given.speed, '--speed'))).endpoint;
    const port = number(given.port, '--port') || await freePort();
    const address = `http://127.0.0.1:${port}`;
    userDirectory(programs.directory, port, endpoint, given.user, process.env.DRIFTGATE_PASSWORD ?? 'demo', modules);
    const lines = new Lines();
    const red = programs.start('Node-RED', process.execPath, [join(nodeRed, 'red.js'), '--userDir', programs.directory],
        { cwd: programs.directory, env: { ...process.env, XDG_CONFIG_HOME: programs.directory } });
    red.on('said', (line) => lines.take(line));
    await programs.line(red, (line) => line.includes('Started flows') || undefined, 60);
    console.log(`gateway    ${endpoint}\ndashboard  ${address}/dashboard/motor1\neditor     ${address}`);
    if (!given.check) {
        red.on('said', (line) => console.log(line));
        console.log('Ctrl-C ends both.');
        await red.ended;
        return;
    }
    await check(address, lines).catch((error) => {
        console.error(`Node-RED's last lines:\n${red.said.slice(-60).join('\n')}`);
        throw error;
    });
    console.log('the flow works');
});
