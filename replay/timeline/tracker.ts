import {
  contextKey,
  type EffectSink,
  type IovaSpace,
  type Kernel,
  NO_EFFECTS,
  objectKey,
  someArea,
} from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import type { Since } from '../graph/index.ts';
import type { Outcome } from '../watcher.ts';
import { type AreaColumns, createColumns, dropArea, setArea, sumOfArea } from './area-columns.ts';
import { addUp, createHardwareSum, followEntries, type HardwareSum } from './hardware-sum.ts';
import { addNumber, type Sum, sum } from './hash.ts';
import { createLineage, edgeKey, followGraph, followObject, type Lineage } from './lineage.ts';
import { createMemoryRoles, type MemoryRoles, noteMapping } from './memory-roles.ts';
import { choosesIova, movesAreas, type Reach, reachOf } from './quiet-calls.ts';

/**
 * Follows a replay for what the model does not keep, because no answer depends on it: since which call things
 * are as they are, what user memory is called from run to run, and a sum over what the hardware holds.
 */
export interface Tracker {
  readonly lineage: Lineage;
  readonly roles: MemoryRoles;
  /** By the key of the space in the kernel. */
  readonly columns: Map<number, AreaColumns>;
  readonly hardware: HardwareSum;
  /** Calls after which the hardware held something else. */
  changes: number;
  /** Sum over the sums after each of these calls: equal for two runs as long as both went the same way. */
  readonly chain: Sum;
  /** What a kernel tells while it runs. */
  readonly effects: EffectSink;
  before(call: Call): void;
  /** After each record, and after the exits that are taken to follow it. */
  after(call: Call, outcome: Outcome | null): void;
}

/** What a snapshot holds of a tracker. */
export type TrackerState = Pick<Tracker, 'lineage' | 'roles' | 'columns' | 'changes' | 'chain'>;

export function newTrackerState(): TrackerState {
  return {
    lineage: createLineage(),
    roles: createMemoryRoles(),
    columns: new Map(),
    changes: 0,
    chain: sum(),
  };
}

/** A tracker of a kernel that has come to where `state` says. */
export function createTracker(kernel: Kernel, state: TrackerState): Tracker {
  const { lineage, roles, columns, chain } = state;
  const hardware = createHardwareSum();
  const keys = keysOfSpaces(kernel);
  let seq = 0;
  let isAutomatic = false;
  /** Contexts and ids of the objects that effects told of since the last look. */
  const touched: number[] = [];
  /** Something came or went that other nodes of the graph come or go with. */
  let isWide = false;
  /** An attachment changed. */
  let isNewEntry = false;
  let lastPid = kernel.lastPid;
  const gone = new Set<string>();
  const attach = (context: number, device: number): void => {
    touched.push(context, device);
    isNewEntry = true;
  };
  const touchContext = (): void => {
    isWide = true;
  };
  const touchObject = (context: number, type: string, id: number): void => {
    touched.push(context, id);
    // The first table in an IOMMU, and the first device of a group, bring these into the graph.
    if (type !== 'ioas' && (type !== 'hwpt-paging' || kernel.machine.iommus.length > 0)) isWide = true;
  };
  const columnsOf = (space: IovaSpace): AreaColumns => {
    const key = keys(space);
    let own = columns.get(key);
    if (own === undefined) {
      own = createColumns();
      columns.set(key, own);
    }
    return own;
  };
  const addUpAll = (): void => addUp(hardware, (space) => columns.get(space)?.content ?? null);
  followEntries(hardware, kernel);
  addUpAll();

  const effects: EffectSink = {
    ...NO_EFFECTS,
    contextOpened: touchContext,
    contextReleased: touchContext,
    objectCreated: touchObject,
    objectDestroyed: (context, type, id) => {
      touchObject(context, type, id);
      // It may have been the one that serves VFIO's calls.
      if (lineage.edges.has(contextKey(context))) isWide = true;
      gone.add(objectKey(context, id));
    },
    deviceAttached: attach,
    deviceReplaced: attach,
    deviceDetached: attach,
    rangeMapped: (_context, _ioas, space, slot) => {
      const { length } = space.areas.startPage;
      const own = columnsOf(space);
      if (isAutomatic) own.automatic += 1;
      const sumNow = sumOfArea(roles, kernel, space, slot, isAutomatic ? own.automatic : 0);
      setArea(own, slot, length, seq, sumNow);
    },
    rangeUnmapped: (_context, _ioas, space, slot) => dropArea(columnsOf(space), slot),
  };
  /** An object went away and another came under its id: what refers to it must be looked at too. */
  const areSomeBack = (): boolean => {
    for (let at = 0; at < touched.length && gone.size > 0; at += 2) {
      const [context, id] = [touched[at]!, touched[at + 1]!];
      const isThere = kernel.state.contexts[context]?.objects[id] !== undefined;
      if (isThere && gone.has(objectKey(context, id))) return true;
    }
    return false;
  };
  /** Looks at what a call can have changed beside areas. */
  const look = (reach: Reach): void => {
    if (reach === 'areas' && touched.length === 0) return;
    if (reach === 'objects' && !areSomeBack()) {
      for (let at = 0; at < touched.length; at += 2)
        followObject(lineage, kernel, seq, touched[at]!, touched[at + 1]!);
    } else {
      followGraph(lineage, kernel, seq, gone);
    }
    if (reach !== 'objects' || isNewEntry) followEntries(hardware, kernel);
    if (columns.size > kernel.spaces.size) dropGoneSpaces(kernel, columns);
    touched.length = 0;
    gone.clear();
    isWide = false;
    isNewEntry = false;
  };
  const tracker: Tracker = {
    lineage,
    roles,
    columns,
    hardware,
    changes: state.changes,
    chain,
    effects,
    before(call) {
      seq = call.seq;
      isAutomatic = choosesIova(call);
    },
    after(call, outcome) {
      noteMapping(roles, kernel, call);
      if (outcome === 'diverged' && movesAreas(call) && !isAutomatic) recount(kernel, roles, columns);
      const { high, low } = hardware.now;
      look(call.pid === lastPid && !isWide && !kernel.isProposal ? reachOf(call, kernel) : 'anything');
      lastPid = call.pid;
      addUpAll();
      if (hardware.now.high === high && hardware.now.low === low) return;
      tracker.changes += 1;
      addNumber(chain, hardware.now.high >>> 0);
      addNumber(chain, hardware.now.low >>> 0);
    },
  };
  return tracker;
}

/** Since when things are as they are, for a graph. */
export function sinceOf({ lineage, columns }: Tracker, kernel: Kernel): Since {
  const keys = keysOfSpaces(kernel);
  return {
    node: (key) => lineage.nodes.get(key) ?? null,
    edge: (from, role, to) => lineage.edges.get(from)?.get(edgeKey(role, to)) ?? null,
    area: (space, slot) => columns.get(keys(space))?.since[slot] ?? null,
  };
}

/** The key of a space in the kernel. */
function keysOfSpaces(kernel: Kernel): (space: IovaSpace) => number {
  const known = new WeakMap<IovaSpace, number>();
  let last: IovaSpace | null = null;
  let lastKey = -1;
  return (space) => {
    if (space === last) return lastKey;
    let key = known.get(space);
    if (key === undefined) {
      for (const [each, value] of kernel.spaces) known.set(value, each);
      key = known.get(space);
      if (key === undefined) throw new Error('an area lies in a space that the kernel does not have');
    }
    last = space;
    lastKey = key;
    return key;
  };
}

function dropGoneSpaces({ spaces }: Kernel, columns: Map<number, AreaColumns>): void {
  for (const key of columns.keys()) if (!spaces.has(key)) columns.delete(key);
}

/** What a reply was found to say may have moved areas without a word: their sums are made anew. */
function recount(kernel: Kernel, roles: MemoryRoles, columns: Map<number, AreaColumns>): void {
  for (const [key, own] of columns) {
    const space = kernel.spaces.get(key);
    if (space === undefined) continue;
    own.content.high = 0;
    own.content.low = 0;
    someArea(space.areas, (slot) => {
      const { length } = space.areas.startPage;
      setArea(own, slot, length, own.since[slot]!, sumOfArea(roles, kernel, space, slot));
      return false;
    });
  }
}
