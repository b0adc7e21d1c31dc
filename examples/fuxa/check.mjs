// The operator screen in a browser without a window: values arrive, a parameter that is typed takes effect.

import { join } from 'node:path';
import { Problem, eventually } from '../processes.mjs';

const SETTING = 'Drift_DataDrift_ConsecutiveLimit';
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

async function text(page, name) {
    return (await page.locator(`#VAL_${name}`).textContent()).trim();
}

/** Waits until a value of the screen is as wanted, and says so. */
async function shows(page, name, wanted, seconds) {
    let last;
    const found = await eventually(`the screen shows ${name} as wanted`, seconds, async () => {
        last = await text(page, name);
        return wanted(last) ? last : undefined;
    }).catch((error) => { throw new Problem(`${error.message}; it shows \`${last}\``); });
    console.log(`${name}: ${found}`);
    return found;
}

async function type(page, name, value) {
    const field = page.locator(`#I-HXI_${name}`);
    await field.fill(String(value));
    await field.press('Enter');
}

/** The colour that a lamp has now, as the browser computes it. */
async function colour(page, name) {
    return page.locator(`#L-GSE_${name}`).evaluate((shape) => getComputedStyle(shape).fill);
}

/** Presses the button, and waits until the lamp of what nobody has acknowledged is out. */
async function acknowledge(page) {
    const lit = await colour(page, 'unacked');
    if (lit !== WARNING) throw new Problem(`the lamp of alarms that are not acknowledged is ${lit}, not ${WARNING}`);
    await page.getByRole('button', { name: 'Acknowledge all' }).click();
    await eventually('the lamp goes out when alarms are acknowledged', 30, async () => (await colour(page, 'unacked')) !== WARNING || undefined);
    console.log('acknowledged');
}

/** Whether the demo says that its slow change is drift now. */
const drifting = (line) => {
    const state = line.startsWith('{"type":"state"') ? JSON.parse(line) : {};
    return state.phase === 'Slow change' && state.status === 'Drift' ? true : undefined;
};

// Of `unacked` in screen.mjs.
const WARNING = 'rgb(242, 183, 5)';

export async function check({ require, address, demo, said, browser, screenshot, directory, fuxa }) {
    const { chromium } = require('playwright-core');
    const window = await chromium.launchPersistentContext(join(directory, 'browser'), {
        executablePath: browser, headless: true, args: FLAGS, viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1,
    });
    try {
        const page = await window.newPage();
        const complaints = [];
        page.on('pageerror', (error) => complaints.push(String(error)));
        await page.goto(`${address}/home`);
        const beat = await shows(page, 'heartbeat', (value) => /^\d+ s$/.test(value), 60);
        await shows(page, 'heartbeat', (value) => parseInt(value) > parseInt(beat), 30);
        await shows(page, 'source_text', (value) => value === 'Connected', 30);
        await shows(page, 'regime_text', (value) => value.startsWith('Voltage='), 60);

        await type(page, SETTING, 4);
        await shows(page, `${SETTING}_effective`, (value) => value === '4', 30);
        await shows(page, `${SETTING}_by`, (value) => value !== '', 10);
        await type(page, SETTING, 1500);
        await shows(page, `${SETTING}_error`, (value) => value.includes('1500') || value.includes('1000'), 30);
        await type(page, SETTING, 3);
        await shows(page, `${SETTING}_effective`, (value) => value === '3', 30);
        await shows(page, 'drift_index', (value) => Number(value) >= 0, 120);
        if (demo) await said(drifting);
        if (screenshot) {
            await shows(page, 'drift_text', (value) => value.startsWith('Drift'), 60);
            // The charts get some of it.
            await page.waitForTimeout(4000);
            await page.screenshot({ path: screenshot });
            console.log(`picture: ${screenshot}`);
        }
        if (demo) await acknowledge(page);
        if (complaints.length) throw new Problem(`errors in the browser:\n${complaints.join('\n')}`);
    } catch (error) {
        console.error(`FUXA's last lines:\n${fuxa.said.slice(-20).join('\n')}`);
        throw error;
    } finally {
        await window.close();
    }
    console.log('the screen works');
}
