/** Where the time of the server's shards goes. */

import { shardLoads } from './api.js';
import { count, millis, percent } from './format.js';
import { ApiError } from './http.js';
import { Poll } from './poll.js';
import { rates } from './shards.js';
import { make, setData, setText } from './ui.js';

/** Between two readings, in ms: what is shown is about the time between them. */
const POLL_MS = 2000;

/** A share of the time from which on a core has little left. */
const NEARLY_FULL = 0.9;

/** The parts of a turn, in the order in which a turn has them. */
const STAGES = ['datagrams', 'connections', 'mail', 'timers', 'fan_out', 'send', 'write'];

/**
 * Cells of a shard's row: what happened between two readings, or what is there at the last one.
 *
 * @type {Array<{name: string, rate?: (rates: import('./shards.js').Rates) => string, now?: (load: import('./api.js').ShardLoad) => string}>}
 */
const CELLS = [
  { name: 'busy', rate: ({ busy }) => share(busy) },
  { name: 'cpu', rate: ({ cpu }) => share(cpu) },
  { name: 'p50', rate: ({ turnP50Ms }) => millis(turnP50Ms) },
  { name: 'p99', rate: ({ turnP99Ms }) => millis(turnP99Ms) },
  { name: 'longest', now: (load) => millis(load.longest_turn_seconds * 1000) },
  { name: 'events', rate: ({ eventsPerTurn }) => mean(eventsPerTurn) },
  { name: 'in', rate: ({ packetsIn }) => count(packetsIn) },
  { name: 'out', rate: ({ packetsOut }) => count(packetsOut) },
  { name: 'run', rate: ({ run }) => mean(run) },
  { name: 'deliveries', rate: ({ deliveries }) => count(deliveries) },
  { name: 'mailbox', now: (load) => `${count(load.mailbox_depth)} · ${count(load.mailbox_deepest)}` },
  { name: 'moves', rate: ({ handOversIn, handOversOut }) => `${count(handOversIn)} · ${count(handOversOut)}` },
  { name: 'connections', now: (load) => count(load.connections) },
  { name: 'sessions', now: (load) => count(load.sessions) },
];

export class ServerPage {
  #refs;
  #poll = new Poll(() => this.#load(), POLL_MS);
  /** What each shard has answered last. @type {Array<import('./api.js').ShardLoad | undefined>} */
  #last = [];
  /** Counts up when what is known is forgotten: answers to what was asked before come too late. */
  #visit = 0;

  /** @param {Record<string, HTMLElement>} refs */
  constructor(refs) {
    this.#refs = refs;
  }

  open() {
    this.#poll.start();
  }

  close() {
    this.#poll.stop();
    // What is shown is about the time between two polls, and not about the time away.
    this.clear();
  }

  /** Forgets what it knows: somebody else looks at it, or nobody who may. */
  clear() {
    this.#visit += 1;
    this.#last = [];
    this.#refs.loads.hidden = true;
    this.#refs.noLoads.hidden = true;
    this.#poll.now();
  }

  async #load() {
    const visit = this.#visit;
    const answer = await shardLoads().catch((error) => error);
    if (visit !== this.#visit) return;
    if (!Array.isArray(answer)) {
      // The bar says so where the server is not there.
      if (answer instanceof ApiError) this.#refuse(answer);
      return;
    }
    const before = this.#last;
    this.#last = answer.map((load, index) => (load.up ? load : before[index]));
    this.#refs.noLoads.hidden = true;
    this.#refs.loads.hidden = false;
    const { shardRows, stageRows } = this.#refs;
    fit(shardRows, answer.length, () => makeRow(CELLS.map(({ name }) => name), ['busy', 'cpu']));
    fit(stageRows, answer.length, () => makeRow(STAGES, STAGES));
    answer.forEach((load, index) => {
      const measured = rates(before[index], load);
      fillLoad(shardRows.rows[index], load, measured);
      fillStages(stageRows.rows[index], load, measured);
    });
  }

  /** @param {ApiError} refusal */
  #refuse({ status, code, words }) {
    this.#refs.loads.hidden = true;
    this.#refs.noLoads.hidden = false;
    const [head, detail] =
      status === 401
        ? ['Sign in to see the server’s figures', '']
        : code === 'forbidden'
          ? ['The server’s figures are shown to administrators', '']
          : ['The server does not tell its figures', words];
    setText(this.#refs.noLoadsHead, head);
    setText(this.#refs.noLoadsDetail, detail);
  }
}

/** A share of the time: whole percents, but for what is nearly nothing. */
function share(ratio) {
  return ratio >= 0.0995 ? `${Math.round(ratio * 100)} %` : percent(ratio);
}

function mean(value) {
  return value === null ? '–' : value.toFixed(1);
}

function fit(body, length, makeOne) {
  while (body.rows.length > length) body.lastElementChild.remove();
  while (body.rows.length < length) body.append(makeOne());
}

/** @param {string[]} names @param {string[]} measured those of them that have a bar below their figure */
function makeRow(names, measured) {
  const row = make('tr', {}, make('th', { scope: 'row' }));
  for (const name of names) {
    row.append(make('td', { 'data-cell': name, ...(measured.includes(name) ? { class: 'part' } : {}) }));
  }
  return row;
}

function fillLoad(row, load, measured) {
  setText(row.cells[0], String(load.shard));
  setData(row, 'up', load.up);
  CELLS.forEach(({ rate, now }, index) => {
    const text = load.up ? (now?.(load) ?? (measured && rate(measured))) : null;
    setText(row.cells[index + 1], text ?? '–');
  });
  if (!load.up) setText(row.cells[1], 'No answer');
  setPart(row.cells[1], measured?.busy);
  setPart(row.cells[2], measured?.cpu);
  setData(row, 'full', measured !== null && measured.busy >= NEARLY_FULL);
}

function fillStages(row, load, measured) {
  setText(row.cells[0], String(load.shard));
  STAGES.forEach((stage, index) => {
    const part = measured?.stages[stage] ?? null;
    setText(row.cells[index + 1], part === null ? '–' : share(part));
    setPart(row.cells[index + 1], part);
  });
}

/** The length of a cell's bar. */
function setPart(cell, part) {
  cell.style.setProperty('--part', String(Math.min(1, part ?? 0)));
}
