/** What two readings of a shard's counters say about the time between them. */

/**
 * @typedef {import('./api.js').ShardLoad} ShardLoad
 *
 * @typedef {object} Rates what is not known is null
 * @property {number} busy share of the time, 0 to 1
 * @property {number} cpu of the thread, with what waiting costs it
 * @property {number | null} turnP50Ms
 * @property {number | null} turnP99Ms
 * @property {number | null} eventsPerTurn sockets and mailboxes that were ready
 * @property {number} packetsIn a second
 * @property {number} packetsOut a second
 * @property {number | null} receive datagrams of a system call
 * @property {number | null} run datagrams of a send
 * @property {number} deliveries of rooms, a second
 * @property {number} handOversIn a second
 * @property {number} handOversOut a second
 * @property {Record<string, number | null>} stages shares of the busy time
 */

/**
 * @param {ShardLoad | undefined} before @param {ShardLoad | undefined} after
 * @returns {Rates | null} null where one of them is missing, or the shard has started anew in between
 */
export function rates(before, after) {
  if (!before?.up || !after?.up) return null;
  const seconds = after.uptime_seconds - before.uptime_seconds;
  if (!(seconds > 0)) return null;
  const grown = (name) => after[name] - before[name];
  const rate = (name) => grown(name) / seconds;
  const busy = grown('busy_seconds');
  const stages = Object.entries(after.stage_seconds);
  return {
    busy: busy / seconds,
    cpu: rate('cpu_seconds'),
    turnP50Ms: quantileMs(before, after, 0.5),
    turnP99Ms: quantileMs(before, after, 0.99),
    eventsPerTurn: ratio(grown('events'), grown('turns')),
    packetsIn: rate('datagrams_received'),
    packetsOut: rate('datagrams_sent'),
    receive: ratio(grown('datagrams_received'), grown('receives')),
    run: ratio(grown('datagrams_sent'), grown('sends')),
    deliveries: rate('room_deliveries'),
    handOversIn: rate('hand_overs_in'),
    handOversOut: rate('hand_overs_out'),
    stages: Object.fromEntries(stages.map(([name, time]) => [name, ratio(time - (before.stage_seconds[name] ?? 0), busy)])),
  };
}

function ratio(part, whole) {
  return whole > 0 ? part / whole : null;
}

/** The time in ms that so many of the turns in between stayed below; within a bucket they are spread evenly. */
function quantileMs(before, after, part) {
  const turns = after.turns - before.turns;
  if (!(turns > 0)) return null;
  const wanted = part * turns;
  let [from, below] = [0, 0];
  for (const [index, { le, count }] of after.turn_buckets.entries()) {
    const within = count - before.turn_buckets[index].count;
    if (within >= wanted) return (from + ((le - from) * (wanted - below)) / (within - below)) * 1000;
    [from, below] = [le, within];
  }
  // Longer than the last bound: no bucket says how long.
  return from * 1000;
}
