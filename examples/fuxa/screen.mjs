#!/usr/bin/env node
// Writes driftgate.fuxap: FUXA's project of the operator screen. A project file holds a screen as one string of SVG; here is what it is made of.
//   node screen.mjs            writes the file
//   node screen.mjs --check    1 if the file is not what this script writes

import { readFileSync, writeFileSync } from 'node:fs';

const FILE = new URL('driftgate.fuxap', import.meta.url);
const MACHINE = 'Motor1';
const DEVICE = 'd_driftgate';

// Grey for what is normal, a colour only for what needs somebody.
const COLOUR = {
    back: '#dfe3e6', panel: '#f4f6f7', edge: '#c3cacf', bar: '#37444e',
    text: '#26323a', soft: '#66757f', value: '#1f4e79', normal: '#a9b4bb', unknown: '#ffffff',
    notice: '#4a90c2', warning: '#f2b705', drift: '#e8710a', fault: '#d32f2f',
};

const tags = {};
const items = {};
const charts = [];
const svg = [];

/** Declares the tag of a node, once; returns FUXA's id of it. `read` is the script its values pass. */
function tag(path, type, { read, daq } = {}) {
    const id = `t_${path.replaceAll('.', '_')}`;
    tags[id] ??= {
        id, name: path, label: path.split('.').at(-1), type, address: `ns=2;s=${path}`,
        ...(read && { scaleReadFunction: read }),
        daq: { enabled: Boolean(daq), changed: true, interval: 60, restored: false },
    };
    return id;
}
const machine = (path, type, options) => tag(`${MACHINE}.${path}`, type, options);
const text = (path) => machine(path, 'String', { read: 's_known' });

const escape = (words) => words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const attributes = (values) => Object.entries(values).map(([name, value]) => ` ${name}="${value}"`).join('');

function rect(x, y, width, height, fill, more = {}) {
    svg.push(`<rect${attributes({ x, y, width, height, fill, 'stroke-width': 0, ...more })}/>`);
}
const panel = (x, y, width, height) => rect(x, y, width, height, COLOUR.panel, { rx: 4, stroke: COLOUR.edge, 'stroke-width': 1 });

const font = (size, fill, bold, anchor) => attributes({
    'font-family': 'Roboto-Regular, sans-serif', 'font-size': size, fill, 'text-anchor': anchor, 'stroke-width': 0,
    ...(bold && { 'font-weight': 600 }),
});
function label(x, y, words, { size = 12, fill = COLOUR.soft, bold = false, anchor = 'start' } = {}) {
    svg.push(`<text x="${x}" y="${y}"${font(size, fill, bold, anchor)} xml:space="preserve">${escape(words)}</text>`);
}

function item(prefix, name, type, property, inner) {
    const id = `${prefix}_${name}`;
    items[id] = { id, type, name, label: name, property: { events: [], actions: [], ...property } };
    svg.push(`<g id="${id}" type="${type}">${inner(id)}</g>`);
}

/** A value as text; `width` cuts off what would run into its neighbour. */
function value(name, variableId, x, y, { size = 14, fill = COLOUR.value, bold = false, anchor = 'start', unit = '', digits, width, actions = [] } = {}) {
    const ranges = [{ type: 1, text: unit, ...(digits !== undefined && { fractionDigits: digits }) }];
    if (width) {
        const edge = attributes({ x, y: y - size - 2, width, height: size + 8 });
        svg.push(`<clipPath id="clip_${name}"><rect${edge}/></clipPath><g clip-path="url(#clip_${name})">`);
    }
    item('VAL', name, 'svg-ext-value', { variableId, ranges, actions }, (id) =>
        `<text id="T-${id}" x="${x}" y="${y}"${font(size, fill, bold, anchor)} xml:space="preserve">...</text>`);
    if (width) svg.push('</g>');
}

/** Shows an item while `variableId` is one of the codes from `min` to `max`. */
function onlyAt(variableId, min, max) {
    const when = (type, from, to) => ({ variableId, type, range: { min: from, max: to }, options: {} });
    return [when('hide', 0, min - 1), when('show', min, max), when('hide', max + 1, 65535)];
}

/** A rectangle whose colour follows codes: `{ code: colour }`. */
function lamp(name, variableId, codes, x, y, width, height, more = {}) {
    const ranges = Object.entries(codes).map(([code, color]) => ({ type: 'range', min: Number(code), max: Number(code), color }));
    item('GSE', name, 'svg-ext-gauge_semaphore', { variableId, ranges }, (id) =>
        `<rect${attributes({ id: `L-${id}`, x, y, width, height, fill: COLOUR.unknown, stroke: COLOUR.edge, 'stroke-width': 1, ...more })}/>`);
}

function chart(name, title, minutes, lines, x, y, width, height) {
    const id = `c_${name}`;
    charts.push({ id, name: title, lines: lines.map(({ tag: line, ...rest }) => ({
        device: 'driftgate', id: line, name: tags[line].name, yaxis: 1, lineWidth: 2, spanGaps: false, lineInterpolation: 0, ...rest })) });
    const grid = { show: true, width: 1 };
    // The gap moves FUXA's own label "Time", which would stand over the dates, out of the picture.
    const axes = [{ grid, ticks: {}, size: 30, labelGap: 60 }, { grid, ticks: {}, scale: '1', size: 50 }, { grid: { show: false }, ticks: {}, side: 1, scale: '2', size: 50 }];
    const options = {
        fontFamily: 'Roboto-Regular', titleHeight: 0, legendFontSize: 12, axisLabelFontSize: 12, legendMode: 'never', colorBackground: 'rgba(0,0,0,0)',
        legendBackground: 'rgba(0,0,0,0)', axisLineColor: COLOUR.edge, axisLabelColor: COLOUR.soft, gridLineColor: '#dde2e5',
        dateFormat: 'YYYY_MM_DD', timeFormat: 'hh_mm_ss', decimalsPrecision: 2, realtime: minutes, loadOldValues: true, labelsDivWidth: 0,
        axes, panel: { width, height }, width, height,
    };
    const variableIds = lines.map((line) => line.tag);
    item('HXC', name, 'svg-ext-html_chart', { id, type: 'realtime1', options, variableIds }, (key) =>
        `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="none" stroke-width="0"/>`
        + `<foreignObject id="H-${key}" x="${x}" y="${y}" width="${width}" height="${height}">`
        + `<div id="D-${key}" style="width:100%;height:100%"></div></foreignObject>`);
}

/** A field to type into; what was typed is written at Enter. */
function input(name, variableId, x, y, width, min, max) {
    const options = { numeric: true, type: 'number', min, max, updated: true, selectOnClick: true };
    item('HXI', name, 'svg-ext-html_input', { variableId, options }, (id) =>
        `<rect x="${x}" y="${y}" width="${width}" height="26" fill="#ffffff" stroke="${COLOUR.soft}" stroke-width="0.5"/>`
        + `<foreignObject id="H-${id}" x="${x}" y="${y}" width="${width}" height="26">`
        + `<input id="I-${id}" type="text" style="width:calc(100% - 7px);height:calc(100% - 7px);text-align:right;border:unset;`
        + `background-color:rgb(255,255,255);color:${COLOUR.text};font-size:14px"/></foreignObject>`);
}

/** A button that writes a constant. */
function button(name, variableId, constant, words, x, y, width) {
    const events = [{ type: 'click', action: 'onSetValue', actparam: String(constant), actoptions: {} }];
    item('HXB', name, 'svg-ext-html_button', { variableId, events, text: words }, (id) =>
        `<rect x="${x}" y="${y}" width="${width}" height="26" fill="none" stroke-width="0"/>`
        + `<foreignObject id="H-${id}" x="${x}" y="${y}" width="${width}" height="26">`
        + `<button id="B-${id}" style="width:100%;height:100%;border:1px solid ${COLOUR.soft};border-radius:3px;background-color:#ffffff;`
        + `color:${COLOUR.text};font-size:13px">${escape(words)}</button></foreignObject>`);
}

function heading() {
    rect(0, 0, 1280, 52, COLOUR.bar);
    label(20, 33, MACHINE, { size: 22, fill: '#ffffff', bold: true });
    label(112, 33, 'drift monitor', { size: 16, fill: '#c3cacf' });
    label(1004, 32, 'Gateway', { size: 13, fill: '#c3cacf', anchor: 'end' });
    value('health', tag('Gateway.HealthText', 'String', { read: 's_known' }), 1012, 32, { size: 13, fill: '#ffffff' });
    label(1180, 32, 'Heartbeat', { size: 13, fill: '#c3cacf', anchor: 'end' });
    value('heartbeat', tag('Gateway.Heartbeat', 'UInt32'), 1188, 32, { size: 13, fill: '#ffffff', unit: 's' });
}

/** One of five: a bar whose colour is the state, a title, the state in words, and a line below. */
function tile(column, title, name, state, codes, words) {
    const x = 16 + column * 252;
    panel(x, 66, 240, 86);
    lamp(name, state, codes, x, 66, 8, 86, { 'stroke-width': 0 });
    label(x + 20, 88, title);
    value(`${name}_text`, words, x + 20, 113, { size: 17, fill: COLOUR.text, bold: true, width: 214 });
    return x + 20;
}

function tiles() {
    const { normal, notice, warning, drift, fault, unknown } = COLOUR;
    let x = tile(0, 'PLC', 'source', machine('Source.State', 'UInt16'), { 0: unknown, 1: notice, 2: normal, 3: warning, 4: fault, 5: fault, 6: fault },
        text('Source.StateText'));
    label(x, 139, 'last data');
    value('last_good', machine('Source.LastGoodTime', 'String', { read: 's_time' }), x + 56, 139, { size: 12 });

    x = tile(1, 'Machine settings', 'regime', machine('Regimes.ActiveState', 'UInt16'),
        { 0: unknown, 1: notice, 2: normal, 3: warning, 4: notice, 5: normal, 6: normal }, text('Regimes.ActiveKey'));
    value('regime_state', text('Regimes.ActiveStateText'), x, 139, { size: 12, width: 214 });

    x = tile(2, 'Drift', 'drift', machine('Drift.Status', 'UInt16'), { 0: unknown, 1: notice, 2: normal, 3: warning, 4: drift, 5: notice, 6: fault },
        text('Drift.StatusText'));
    label(x, 139, 'index');
    const evaluated = onlyAt(machine('Drift.Status', 'UInt16'), 2, 4);
    value('drift_index', machine('Drift.DriftIndex', 'Double', { daq: true }), x + 34, 139, { size: 12, digits: 2, actions: evaluated });
    value('top_feature', text('Drift.TopFeature'), x + 74, 139, { size: 12, width: 140, actions: evaluated });

    x = tile(3, 'Fault of the machine', 'fault', machine('Fault.Detected', 'Boolean', { read: 's_flag' }), { '-1': unknown, 0: normal, 1: fault },
        text('Fault.Text'));
    value('trusted', machine('Models.Stator.Inference.Trusted', 'String', { read: 's_trust' }), x, 139, { size: 12 });

    x = tile(4, 'Data for retraining', 'buffer', machine('Buffer.State', 'UInt16'), { 0: normal, 1: notice, 2: notice, 3: notice, 4: normal, 5: normal, 6: fault },
        text('Buffer.StateText'));
    label(x, 139, 'rows');
    value('rows', machine('Buffer.Rows', 'UInt32', { read: 's_known' }), x + 32, 139, { size: 12 });
}

function trend(row, name, title, unit, line) {
    const y = 164 + row * 156;
    panel(16, y, 820, 148);
    label(30, y + 19, title, { size: 12, fill: COLOUR.text, bold: true });
    label(824, y + 19, unit, { anchor: 'end' });
    // FUXA keeps 62 pixels below for a legend, shown or not.
    chart(name, title, 10, [line], 18, y + 22, 816, 124 + 62);
}

/** Tags of trends pass no script: a text instead of a number would stop FUXA's chart, and a missing value is a gap. */
function trends() {
    const color = COLOUR.value;
    trend(0, 'vibration', 'Vibration of the bearing', 'mm/s', { tag: machine('Signals.Vibration', 'Double', { daq: true }), color });
    trend(1, 'index', 'Drift index', '1: the threshold',
        { tag: machine('Drift.DriftIndex', 'Double'), color, lineInterpolation: 1 });
    trend(2, 'score', 'Score of the model', '', { tag: machine('Models.Stator.Inference.Score', 'Double', { daq: true }), color });
    value('trust', text('Models.Stator.Inference.TrustText'), 824, 164 + 2 * 156 + 19, { size: 12, anchor: 'end' });
}

function alarms() {
    panel(848, 164, 416, 238);
    label(862, 186, 'Alarms', { size: 12, fill: COLOUR.text, bold: true });
    const rows = [
        ['DriftWarningActive', 'Drift: warning', COLOUR.warning],
        ['DriftActive', 'Drift', COLOUR.drift],
        ['FaultActive', 'Fault of the machine', COLOUR.fault],
        ['OutOfEnvelopeActive', 'Settings outside what was trained', COLOUR.warning],
        ['SourceDownActive', 'PLC does not answer', COLOUR.fault],
        ['BufferReadyActive', 'Data for retraining is ready', COLOUR.notice],
    ];
    rows.forEach(([node, words, colour], row) => {
        const y = 198 + row * 26;
        lamp(node, machine(`Alarms.${node}`, 'Boolean', { read: 's_flag' }), { '-1': COLOUR.unknown, 0: '#e3e7e9', 1: colour }, 862, y, 30, 18, { rx: 3 });
        label(902, y + 14, words, { size: 13, fill: COLOUR.text });
    });
    lamp('unacked', machine('Alarms.AnyUnacked', 'Boolean', { read: 's_flag' }), { '-1': COLOUR.unknown, 0: '#e3e7e9', 1: COLOUR.warning },
        862, 366, 30, 18, { rx: 3 });
    label(902, 380, 'Not acknowledged', { size: 13, fill: COLOUR.text });
    button('acknowledge', machine('Alarms.AckWord', 'UInt16'), 65535, 'Acknowledge all', 1130, 362, 120);
}

/** A parameter: what is in force, a field for a new value, and why the last write was refused. */
function parameter(row, path, type, title, min, max) {
    const y = 440 + row * 62;
    const name = path.replaceAll('.', '_');
    label(862, y + 16, title, { size: 13, fill: COLOUR.text });
    input(name, machine(path, type), 1166, y, 84, min, max);
    label(862, y + 35, 'in force');
    value(`${name}_effective`, machine(`${path}.EffectiveValue`, type, { read: 's_known' }), 910, y + 35, { size: 12, bold: true });
    label(980, y + 35, 'changed by');
    value(`${name}_by`, text(`${path}.LastChangedBy`), 1046, y + 35, { size: 12, width: 116 });
    value(`${name}_error`, text(`${path}.LastErrorText`), 862, y + 51, { size: 11, fill: COLOUR.fault, width: 390 });
}

function parameters() {
    panel(848, 410, 416, 214);
    label(862, 430, 'Parameters: type a value, press Enter', { size: 12, fill: COLOUR.text, bold: true });
    parameter(0, 'Drift.DataDrift.ConsecutiveLimit', 'UInt16', 'Evaluations in a row that make a drift', 1, 2000);
    parameter(1, 'Drift.DataDrift.T2.Threshold', 'Double', 'Threshold of the Wasserstein distance', 0, 1000);
    parameter(2, 'Models.Stator.Inference.ScoreThreshold', 'Double', "Score of a fault; 0: the model's own", 0, 1000);
}

function log() {
    panel(16, 632, 1248, 152);
    label(30, 652, 'Last events', { size: 12, fill: COLOUR.text, bold: true });
    for (let row = 0; row < 6; row++) {
        const line = machine(`Log.Line0${row + 1}`, 'String', { read: 's_line' });
        value(`line${row + 1}`, line, 30, 674 + row * 20, { size: 12, fill: COLOUR.text, width: 1220 });
    }
}

/** Scripts of FUXA's server that every value of their tags passes. A Bad value comes without a value: as an object. */
const scripts = [
    ['s_known', 'known', "return value !== null && typeof value === 'object' ? '- - -' : value;"],
    ['s_flag', 'flag', "return typeof value === 'boolean' ? Number(value) : -1;"],
    ['s_trust', 'trust', "return value === true ? 'prediction is trusted' : value === false ? 'prediction is not trusted' : '- - -';"],
    ['s_time', 'timeOfDay', "const time = new Date(value); return isNaN(time) ? '- - -' : time.toISOString().slice(11, 19) + ' UTC';"],
    ['s_line', 'logLine', "return typeof value === 'string' ? value.slice(11, 19) + '  ' + value.slice(25) : '';"],
].map(([id, name, code]) => ({ id, name, code, sync: true, parameters: [{ name: 'value', type: 'value' }], mode: 'SERVER' }));

function project() {
    heading();
    tiles();
    trends();
    alarms();
    parameters();
    log();
    const view = {
        id: 'v_operator', name: 'Operator', type: 'svg', profile: { width: 1280, height: 800, bkcolor: COLOUR.back, margin: 0 }, items, variables: {},
        svgcontent: '<svg width="1280" height="800" xmlns="http://www.w3.org/2000/svg" xmlns:svg="http://www.w3.org/2000/svg">'
            + `<g><title>Operator</title>${svg.join('\n')}</g></svg>`,
    };
    return {
        version: '1.01', name: 'driftgate',
        server: { id: '0', name: 'FUXA Server', type: 'FuxaServer', property: {} },
        devices: {
            [DEVICE]: { id: DEVICE, name: 'driftgate', type: 'OPCUA', enabled: true, polling: 500, property: { address: 'opc.tcp://127.0.0.1:4840/' }, tags },
        },
        hmi: {
            layout: {
                start: view.id, autoresize: false, showdev: false, zoom: 'disabled', inputdialog: 'false', hidenavigation: true,
                navigation: { mode: 'void', type: 'text', bkcolor: '#f4f5f7', fgcolor: '#26323a', items: [] },
                header: { title: '', alarms: 'hide', infos: 'hide', bkcolor: '#ffffff', fgcolor: '#000000' },
            },
            views: [view],
        },
        charts, graphs: [], alarms: [], notifications: [], scripts, reports: [], texts: [], plugin: [],
    };
}

const written = `${JSON.stringify(project(), null, 1)}\n`;
if (!process.argv.includes('--check')) {
    writeFileSync(FILE, written);
} else if (readFileSync(FILE, 'utf8') !== written) {
    console.error('driftgate.fuxap is not what screen.mjs writes; run: node screen.mjs');
    process.exit(1);
}
