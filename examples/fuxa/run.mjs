#!/usr/bin/env node
// Starts the demo and FUXA with the operator screen. See --help.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, Problem, eventually, freePort, gatewayProgram, installPackages, number, options, run } from '../processes.mjs';
import { check } from './check.mjs';

const HELP = `usage: node examples/fuxa/run.mjs [options]
Installs FUXA, starts driftgate's demo and FUXA with the operator screen, prints the address, and ends both at Ctrl-C.

  --driftgate FILE     driftgate's program [target/release/driftgate, or target/debug/driftgate]
  --modules DIR        where the packages are installed, about 400 MB [target/fuxa]
  --port N             FUXA's port on this computer; 0: a free one [1881]
  --speed N            story time of the demo over real time [10]
  --endpoint URL       show this gateway instead of a demo; its machine must be named Motor1
  --user NAME          log in as [engineer, one of the demo's]; the password: DRIFTGATE_PASSWORD [demo]
  --check              open the screen in a browser without a window, look at its values, type a parameter, see it take effect; then end
  --screenshot FILE    with --check: a picture (PNG) of the screen in the phase of drift
  --browser FILE       Chromium for --check [/usr/bin/chromium]

Exit codes: 0 ended as asked, 1 something failed, 2 wrong usage.`;

const given = options({
    driftgate: { type: 'string' }, modules: { type: 'string', default: join(ROOT, 'target/fuxa') }, port: { type: 'string', default: '1881' },
    speed: { type: 'string', default: '10' }, endpoint: { type: 'string' }, user: { type: 'string', default: 'engineer' },
    check: { type: 'boolean' }, screenshot: { type: 'string' }, browser: { type: 'string', default: '/usr/bin/chromium' },
}, HELP);

/** FUXA keeps to this computer, and all it writes goes into `directory`. */
function settings(fuxa, directory) {
    mkdirSync(join(directory, '_appdata'), { recursive: true });
    const lines = [`const settings = require(${JSON.stringify(join(fuxa, 'settings.default.js'))});`,
        "module.exports = { ...settings, uiHost: '127.0.0.1', logApiLevel: 'none' };", ''];
    writeFileSync(join(directory, '_appdata/settings.js'), lines.join('\n'));
}

async function send(address, path, body) {
    const answer = await fetch(`${address}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Problem(`FUXA: ${path}: ${answer.status} ${await answer.text()}`);
}

/** Gives FUXA the login first, then the project: it connects as soon as it has that. */
async function load(address, endpoint, user, password) {
    const project = JSON.parse(readFileSync(fileURLToPath(new URL('driftgate.fuxap', import.meta.url)), 'utf8'));
    const [device] = Object.values(project.devices);
    device.property.address = endpoint;
    const mode = { securityMode: 'SignAndEncrypt', securityPolicy: 'http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256' };
    await send(address, '/api/device', { params: { query: 'security', name: device.id, value: { mode, uid: user, pwd: password } } });
    await send(address, '/api/project', project);
}

run(async (programs) => {
    const modules = resolve(given.modules);
    if (given.screenshot && !given.check) throw new Problem('--screenshot goes with --check');
    if (given.check && !existsSync(given.browser)) throw new Problem(`no browser: \`${given.browser}\`; apt-get install chromium, or name another with --browser`);
    const program = given.endpoint ? undefined : gatewayProgram(given.driftgate);
    installPackages(fileURLToPath(new URL('package.json', import.meta.url)), modules);
    const require = createRequire(join(modules, 'package.json'));
    const fuxa = dirname(require.resolve('@frangoteam/fuxa/package.json'));

    const demo = program && await programs.demo(program, 0, number(given.speed, '--speed'));
    const endpoint = given.endpoint ?? demo.endpoint;
    const port = number(given.port, '--port') || await freePort();
    const address = `http://127.0.0.1:${port}`;
    settings(fuxa, programs.directory);
    const screen = programs.start('FUXA', process.execPath, [join(fuxa, 'main.js'), '--userDir', programs.directory, '--port', String(port)],
        { cwd: programs.directory, env: { ...process.env, XDG_CONFIG_HOME: programs.directory } });
    screen.ended.then((code) => programs.failed?.(new Problem(`FUXA has ended with ${code}\n${screen.said.slice(-20).join('\n')}`)));
    await eventually('FUXA answers', 60, async () => {
        if (screen.exitCode !== null) throw new Problem(`FUXA has ended\n${screen.said.slice(-20).join('\n')}`);
        return fetch(`${address}/api/settings`).then((answer) => answer.ok || undefined, () => undefined);
    });
    const password = process.env.DRIFTGATE_PASSWORD ?? 'demo';
    await load(address, endpoint, given.user, password);
    console.log(`gateway  ${endpoint}\nscreen   ${address}/home\neditor   ${address}/editor`);
    if (!given.check) {
        console.log('Ctrl-C ends both.');
        await screen.ended;
        return;
    }
    await check({ require, address, demo: demo?.child, said: (line) => programs.line(demo.child, line, 300), browser: given.browser,
        screenshot: given.screenshot && resolve(given.screenshot), directory: programs.directory, fuxa: screen });
});
