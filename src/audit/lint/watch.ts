import type { Divergence, ReplayWatcher } from '../../../replay/index.ts';
import { type EffectSink, type Kernel, NO_EFFECTS } from '../../model/index.ts';
import { createAreaBook } from './area-book.ts';
import { createAttachments } from './attachments.ts';
import { createFaultBook } from './fault-book.ts';
import type { ChainLink, LintFinding } from './finding.ts';
import { createIotlbBook } from './iotlb-book.ts';
import { beginCall, createLintCall, endCall } from './lint-call.ts';
import { createObjectLives } from './object-lives.ts';
import { createPasidBook } from './pasid-book.ts';
import type { LintWorld, Listener, Reported, Rule, RuleListener } from './rule.ts';

/** A replay with rules that look at it. */
export interface LintWatch {
  readonly watcher: ReplayWatcher;
  /** Tells the rules that the trace is over, and gives the findings: by call, then by rule. */
  finish(divergences: readonly Divergence[]): LintFindings;
}

export interface LintFindings {
  readonly findings: readonly LintFinding[];
  /** All findings by rule, also those that were not kept. */
  readonly counts: Readonly<Record<string, number>>;
  /** Records that tell of accesses of devices. */
  readonly accesses: number;
}

/**
 * `calls`: everything but the caches of the IOMMUs, which cost as much as the rest together and hold nothing
 * without accesses. `caches`: these, for the rules that look at them.
 */
export type LintPass = 'calls' | 'caches';

/** Rules by what they listen to; a call looks up each table once. */
interface Tables {
  readonly before: Map<number, Listener[]>;
  readonly after: Map<number, Listener[]>;
  readonly refused: Map<string, Listener[]>;
  readonly ops: Map<string, Listener[]>;
}

/** Makes the watcher of one replay. `most`: findings of one rule that are kept; all are counted. */
export function watchForLint(
  kernel: Kernel,
  rules: readonly Rule[],
  most: number,
  recordAt: LintWorld['recordAt'],
  pass: LintPass,
): LintWatch {
  const call = createLintCall();
  const world: LintWorld = {
    kernel,
    call,
    recordAt,
    faults: createFaultBook(kernel, call),
    pasids: createPasidBook(kernel),
    iotlb: pass === 'caches' ? createIotlbBook(kernel) : null,
    lives: createObjectLives(),
    areas: createAreaBook(),
    attachments: createAttachments(),
  };
  const { faults, pasids, iotlb } = world;
  const findings: LintFinding[] = [];
  const counts: Record<string, number> = {};
  const listeners = rules.map((rule) => {
    counts[rule.id] = 0;
    return rule.start(world, (reported) => {
      counts[rule.id]! += 1;
      if (counts[rule.id]! <= most) findings.push(findingOf(rule, reported, call.seq));
    });
  });
  const tables = tablesOf(listeners);
  let accesses = 0;
  if (iotlb !== null) listeners.push({ watcher: iotlb.watcher, finish: () => iotlb.watcher.finish() });
  if (pasids.isHeard()) listeners.push({ watcher: pasids.watcher, finish: () => pasids.finish() });
  const watchers = listeners.flatMap(({ watcher }) => watcher ?? []);
  return {
    watcher: {
      effects: sinkOf(world, listeners),
      before(record) {
        beginCall(call, record);
        faults.before();
        for (let at = 0; at < watchers.length; at += 1) watchers[at]!.before(record);
        if (call.cmd !== 0) tell(tables.before.get(call.cmd), world);
      },
      after(record, outcome) {
        if (record.op === 'dma' || (record.op === 'note' && record.kind === 'edu_dma')) accesses += 1;
        endCall(call, kernel);
        faults.after();
        for (let at = 0; at < watchers.length; at += 1) watchers[at]!.after(record, outcome);
        if (call.cmd !== 0) tell(tables.after.get(call.cmd), world);
        if (call.reason !== null) tell(tables.refused.get(call.reason.id), world);
        tell(tables.ops.get(record.op), world);
        call.isOver = true;
      },
    },
    finish(divergences) {
      for (const { diverged } of listeners) if (diverged) divergences.forEach(diverged);
      for (const { finish } of listeners) finish?.();
      return { findings: findings.sort(byCall), counts, accesses };
    },
  };
}

function tell(listeners: readonly Listener[] | undefined, { call }: LintWorld): void {
  if (listeners === undefined) return;
  for (let at = 0; at < listeners.length; at += 1) listeners[at]!(call);
}

function findingOf({ id, severity, doc }: Rule, reported: Reported, seq: number): LintFinding {
  return {
    id,
    severity: reported.severity ?? severity,
    seq: reported.seq ?? seq,
    chain: inOrder(reported.chain),
    message: reported.message,
    fix: reported.fix ?? doc.fix,
  };
}

/** Oldest first, each link once. */
function inOrder(chain: readonly ChainLink[]): ChainLink[] {
  const seen = new Set<string>();
  const once = chain.filter(({ seq, role, says }) => {
    const key = `${seq} ${role} ${says}`;
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  return once.sort((a, b) => a.seq - b.seq);
}

export function byCall(a: LintFinding, b: LintFinding): number {
  if (a.seq !== b.seq) return a.seq - b.seq;
  if (a.id !== b.id) return a.id < b.id ? -1 : 1;
  return 0;
}

function tablesOf(listeners: readonly RuleListener[]): Tables {
  const tables: Tables = { before: new Map(), after: new Map(), refused: new Map(), ops: new Map() };
  for (const { before, after, refused, ops } of listeners) {
    for (const [cmd, listener] of Object.entries(before ?? {})) add(tables.before, Number(cmd), listener);
    for (const [cmd, listener] of Object.entries(after ?? {})) add(tables.after, Number(cmd), listener);
    for (const [id, listener] of Object.entries(refused ?? {})) add(tables.refused, id, listener);
    for (const [op, listener] of Object.entries(ops ?? {})) add(tables.ops, op, listener);
  }
  return tables;
}

function add<Key>(table: Map<Key, Listener[]>, key: Key, listener: Listener): void {
  const known = table.get(key);
  if (known === undefined) table.set(key, [listener]);
  else known.push(listener);
}

type Effect = (...facts: unknown[]) => void;

/**
 * What all rules hear of the effects. What was there is looked up while a rule hears that it goes, so the
 * books are told of what appears before the rules, and of what goes after them.
 */
function sinkOf(world: LintWorld, listeners: readonly RuleListener[]): EffectSink {
  const { call, lives, areas, attachments, faults, kernel } = world;
  const first: Partial<EffectSink> = {
    objectCreated(context, type, id) {
      lives.born(call, context, type, id);
      if (type === 'fault') faults.opened(context, id);
    },
    rangeMapped: (context, ioas, space, slot) => areas.mapped(call, context, ioas, space, slot),
    deviceAttached: (context, device, hwpt, pasid) =>
      attachments.attached(call, context, device, hwpt, pasid),
    faultReported: (context, queue) => faults.reported(context, queue),
  };
  const last: Partial<EffectSink> = {
    objectDestroyed(context, type, id) {
      lives.died(call, context, id);
      if (type === 'device') attachments.forget(context, id);
    },
    rangeUnmapped: (context, ioas, space, slot) => areas.unmapped(call, context, ioas, space, slot),
    deviceDetached: (context, device, _, pasid) => attachments.detached(call, context, device, pasid),
    deviceReplaced(context, device, _, to, pasid) {
      // One device asks, and all that share the slot of its group move with it.
      for (const member of membersOf(kernel, context, device, pasid))
        attachments.attached(call, context, member, to, pasid);
    },
  };
  const names = Object.keys(NO_EFFECTS) as (keyof EffectSink)[];
  const sink = names.map((name) => {
    const heard = [first, ...listeners.flatMap(({ effects, watcher }) => [effects, watcher?.effects]), last]
      .filter((effects) => effects !== undefined)
      .map((effects) => effects[name] as Effect | undefined)
      .filter((effect) => effect !== undefined && effect !== NO_EFFECTS[name]) as Effect[];
    return [name, inTurn(heard) ?? NO_EFFECTS[name]];
  });
  return Object.fromEntries(sink) as EffectSink;
}

/** One function for all of them; the usual few without a loop. */
function inTurn(heard: readonly Effect[]): Effect | null {
  const [one, two, three] = heard;
  if (one === undefined) return null;
  if (two === undefined) return one;
  if (three === undefined)
    return (a, b, c, d, e) => {
      one(a, b, c, d, e);
      two(a, b, c, d, e);
    };
  return (a, b, c, d, e) => {
    for (let at = 0; at < heard.length; at += 1) heard[at]!(a, b, c, d, e);
  };
}

/** Devices of the group that share the slot. */
export function membersOf(kernel: Kernel, context: number, id: number, pasid: number): readonly number[] {
  const state = kernel.state.contexts[context];
  const device = state?.objects[id];
  if (device?.type !== 'device') return [];
  return state?.groups[device.group]?.slots[pasid]?.devices ?? [];
}
