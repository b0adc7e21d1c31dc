// What the examples with Node.js share: packages put aside, a demo and other programs started and ended, options read.

import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
const STOP_MS = 15_000;

/** Something the caller can mend: its text is enough. */
export class Problem extends Error {}

/** The options, or the end of the program: 0 after --help, 2 for a wrong one. */
export function options(known, help) {
    try {
        const { values } = parseArgs({ options: { help: { type: 'boolean', short: 'h' }, ...known } });
        if (!values.help) return values;
        console.log(help);
        process.exit(0);
    } catch (error) {
        console.error(`${error.message}\n${help}`);
        process.exit(2);
    }
}

/** A whole number of an option. */
export function number(text, option) {
    if (!/^\d+$/.test(text)) throw new Problem(`${option}: not a number: \`${text}\``);
    return Number(text);
}

/** Installs the packages of `manifest` into `directory`, unless they are there. */
export function installPackages(manifest, directory) {
    const wanted = readFileSync(manifest, 'utf8');
    const done = join(directory, 'installed.json');
    if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return;
    console.error(`npm installs the packages of ${manifest} into ${directory}`);
    mkdirSync(directory, { recursive: true });
    copyFileSync(manifest, join(directory, 'package.json'));
    const npm = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
    if (npm.error) throw new Problem(`npm: ${npm.error.message}; is Node.js with npm installed?`);
    if (npm.status !== 0) throw new Problem(`npm install ended with ${npm.status}; is the package registry reachable, and is there a C++ compiler?`);
    copyFileSync(manifest, done);
}

/** The gateway's program: the one asked for, or the first that was built. */
export function gatewayProgram(asked) {
    const found = (asked ? [resolve(asked)] : ['release', 'debug'].map((kind) => join(ROOT, 'target', kind, 'driftgate'))).find(existsSync);
    if (!found) throw new Problem(asked ? `no such program: \`${asked}\`` : 'driftgate is not built: cargo build --release');
    return found;
}

/** A free port of this computer, at the time of asking. */
export function freePort() {
    return new Promise((done, failed) => {
        const server = createServer().on('error', failed);
        server.listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => done(port));
        });
    });
}

/** Programs that end with this one, the last first, and a directory that goes with them. */
export class Programs {
    #running = [];
    directory = mkdtempSync(join(tmpdir(), 'driftgate-example-'));

    constructor() {
        for (const [name, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
            process.once(name, () => this.end().finally(() => process.exit(code)));
        }
        process.once('exit', () => {
            for (const child of this.#running) if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
            rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
        });
    }

    /** Starts a program; its last output is in `said`. */
    start(name, program, given, more = {}) {
        const child = spawn(program, given, { stdio: ['ignore', 'pipe', 'pipe'], ...more });
        child.said = [];
        child.ended = new Promise((done) => {
            child.once('close', (code, signal) => done(signal ?? code));
            child.once('error', (error) => done(error.message));
        });
        for (const stream of [child.stdout, child.stderr]) {
            createInterface({ input: stream }).on('line', (line) => {
                child.said.push(line);
                if (child.said.length > 2000) child.said.shift();
                child.emit('said', line);
            });
        }
        child.title = name;
        this.#running.push(child);
        return child;
    }

    /** Waits until a program says a line for which `wanted` is not undefined; that is the answer. */
    line(child, wanted, seconds) {
        return new Promise((done, failed) => {
            const timer = setTimeout(() => give(failed, new Problem(`${child.title}: no answer within ${seconds} s\n${child.said.join('\n')}`)), seconds * 1000);
            const look = (line) => {
                const found = wanted(line);
                if (found !== undefined) give(done, found);
            };
            const give = (way, what) => {
                clearTimeout(timer);
                child.off('said', look);
                way(what);
            };
            child.on('said', look);
            child.ended.then((code) => give(failed, new Problem(`${child.title} has ended with ${code}\n${child.said.join('\n')}`)));
        });
    }

    /** Starts `driftgate demo`; its endpoint. */
    async demo(program, port, speed) {
        const child = this.start('driftgate demo', program, ['demo', '--json', '--port', String(port), '--speed', String(speed)]);
        const endpoint = await this.line(child, (line) => {
            const found = line.startsWith('{"type":"start"') ? JSON.parse(line) : {};
            return found.endpoint;
        }, 60);
        return { child, endpoint };
    }

    async end() {
        while (this.#running.length) {
            const child = this.#running.pop();
            if (child.exitCode !== null || child.signalCode !== null) continue;
            child.kill('SIGTERM');
            const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
            await child.ended;
            clearTimeout(timer);
        }
    }
}

/** Asks until the answer is not undefined; `seconds` bounds it. */
export async function eventually(what, seconds, ask) {
    const until = Date.now() + seconds * 1000;
    for (;;) {
        const answer = await ask();
        if (answer !== undefined) return answer;
        if (Date.now() > until) throw new Problem(`not within ${seconds} s: ${what}`);
        await new Promise((done) => setTimeout(done, 250));
    }
}

/** Runs `main` with programs that are ended whatever happens; the exit code is 1 if it fails. */
export async function run(main) {
    const programs = new Programs();
    try {
        await main(programs);
    } catch (error) {
        console.error(error instanceof Problem ? error.message : error);
        process.exitCode = 1;
    } finally {
        await programs.end();
    }
    process.exit();
}
