import { contextKey, type Kernel, NO_EFFECTS, objectKey } from '../../src/model/index.ts';
import type { Call } from '../../src/trace/index.ts';
import type { Stepper, Timeline } from '../timeline/index.ts';
import { createAutomaticIovas } from './automatic-iovas.ts';
import { isAccess } from './compare-caches.ts';
import { isCompared } from './compared-calls.ts';
import type { DiffOptions, Meaning } from './meaning.ts';
import type { Names } from './meaning-reader.ts';
import { meaningOf } from './read-meaning.ts';

/** One of the two traces of a comparison, read call by call while the model follows. */
export interface Side {
  /** The replay; it may be ahead of what was taken. */
  readonly stepper: Stepper;
  /** Nodes of the object graph by the number of the object. */
  readonly keys: ReadonlyMap<number, string>;
  /** Types of all objects that there ever were, by their number. */
  readonly types: ReadonlyMap<number, string>;
  /** Records so far that tell of accesses of devices. */
  accesses(): number;
  /** The call at a distance from the next one; null behind the end. */
  peek(distance: number): Meaning | null;
  /** Takes the next calls. */
  take(count: number): Meaning[];
}

/** Calls read at once: a page of the store has 4096 rows, which a shorter reading throws away. */
const BATCH_CALLS = 2048;

export function openSide(timeline: Timeline, untilSeq: number, options: DiffOptions): Side {
  const { ignore = [], traffic = false } = options;
  const skipped = new Set(ignore);
  const names = createNames();
  const stepper = timeline.fresh(names.effects);
  let calls: Meaning[] = [];
  let head = 0;
  let isAtEnd = false;
  let accesses = 0;
  const fill = (): void => {
    let count = 0;
    calls = calls.slice(head);
    head = 0;
    const before = stepper.seq();
    stepper.advance(untilSeq, (call: Call) => {
      if (isAccess(call)) accesses += 1;
      names.adopt(stepper.kernel);
      if (isCompared(call, traffic)) {
        const meaning = meaningOf(stepper, call, names, skipped);
        if (!skipped.has(meaning.name)) calls.push(meaning);
      }
      names.settle(call.seq);
      count += 1;
      return count < BATCH_CALLS;
    });
    isAtEnd = stepper.seq() >= untilSeq || stepper.seq() === before;
  };
  const peek = (distance: number): Meaning | null => {
    while (!isAtEnd && head + distance >= calls.length) fill();
    return calls[head + distance] ?? null;
  };
  return {
    stepper,
    keys: names.keys,
    types: names.types,
    accesses: () => accesses,
    peek,
    take(count) {
      const taken = calls.slice(head, head + count);
      head += taken.length;
      return taken;
    },
  };
}

interface SideNames extends Names {
  readonly keys: Map<number, string>;
  readonly types: Map<number, string>;
  readonly effects: typeof NO_EFFECTS;
  /** Where the record told another id than the model gave, what was made has that one from now on. */
  adopt(kernel: Kernel): void;
}

/** Gives each object and context a number when it is made: ids are used again, numbers are not. */
function createNames(): SideNames {
  const numbers = new Map<string, number>();
  const keys = new Map<number, string>();
  const made: number[] = [];
  const born = new Map<number, number>();
  const fresh: [string, number][] = [];
  /** Context and id of what the call in progress made, beside `fresh`. */
  const given: (readonly [context: number, id: number, type: string])[] = [];
  const gone: string[] = [];
  let next = 1;
  const types = new Map<number, string>();
  const make = (key: string, type: string): void => {
    types.set(next, type);
    fresh.push([key, next]);
    made.push(next);
    next += 1;
  };
  return {
    automatic: createAutomaticIovas(),
    containers: new Map(),
    keys,
    types,
    made,
    label(object) {
      const key = keys.get(object) ?? fresh.find(([, number]) => number === object)?.[0] ?? '';
      const maker = born.get(object);
      const name = `${types.get(object)} ${key.slice(key.lastIndexOf('/') + 1)}`;
      return maker === undefined ? name : `${name} of call ${maker}`;
    },
    find: (key) => numbers.get(key) ?? null,
    findMade: (key) => fresh.find(([name]) => name === key)?.[1] ?? numbers.get(key) ?? null,
    effects: {
      ...NO_EFFECTS,
      contextOpened: (context) => make(contextKey(context), 'context'),
      contextReleased: (context) => void gone.push(contextKey(context)),
      objectCreated: (context, type, id) => {
        given[fresh.length] = [context, id, type];
        make(objectKey(context, id), type);
      },
      objectDestroyed: (context, _type, id) => void gone.push(objectKey(context, id)),
    },
    adopt({ state }) {
      for (const [at, made] of fresh.entries()) {
        const [context, id, type] = given[at] ?? [0, 0, ''];
        const objects = state.contexts[context]?.objects;
        if (objects === undefined || objects[id] !== undefined || gone.includes(made[0])) continue;
        const taken = new Set(fresh.map(([key]) => key));
        const own = Object.values(objects).find((object) => {
          const key = objectKey(context, object.id);
          return object.type === type && !numbers.has(key) && !taken.has(key);
        });
        if (own !== undefined) made[0] = objectKey(context, own.id);
      }
    },
    settle(seq) {
      for (const number of made) born.set(number, seq);
      for (const key of gone) {
        const number = numbers.get(key);
        numbers.delete(key);
        if (number !== undefined) keys.delete(number);
      }
      for (const [key, number] of fresh) {
        // Made and gone in one call.
        if (gone.includes(key) && !numbers.has(key) && fresh.filter(([name]) => name === key).length === 1)
          continue;
        numbers.set(key, number);
        keys.set(number, key);
      }
      made.length = 0;
      fresh.length = 0;
      given.length = 0;
      gone.length = 0;
    },
  };
}
