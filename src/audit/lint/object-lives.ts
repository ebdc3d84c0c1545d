import { callName } from '../../../replay/index.ts';
import type { ChainLink } from './finding.ts';
import type { LintCall } from './lint-call.ts';
import { label } from './text.ts';

/** One object from creation to destruction. Ids are used again at once, so an id has several lives. */
export interface Life {
  readonly context: number;
  readonly type: string;
  readonly id: number;
  readonly bornSeq: number;
  readonly bornBy: string;
  readonly bornPid: number;
  /** Null while it lives. */
  diedSeq: number | null;
  diedBy: string;
  /** The object that had the id before, of which no earlier one is kept. */
  before: Life | null;
}

/** The lives of the objects of all contexts. */
export interface ObjectLives {
  born(call: LintCall, context: number, type: string, id: number): void;
  died(call: LintCall, context: number, id: number): void;
  /** The object that has the id, or the last one that had it. */
  find(context: number, id: number): Life | undefined;
  /** Every object that lives. */
  all(): readonly Life[];
  /** Every object of a context that lives, by id. */
  living(context: number): readonly Life[];
}

const CONTEXTS = 2 ** 32;

export function createObjectLives(): ObjectLives {
  const lives = new Map<number, Life>();
  const keyOf = (context: number, id: number): number => context * CONTEXTS + id;
  return {
    born({ seq, pid, record }, context, type, id) {
      const key = keyOf(context, id);
      const before = lives.get(key) ?? null;
      if (before !== null) before.before = null;
      const bornBy = callName(record);
      const life: Life = {
        context,
        type,
        id,
        bornSeq: seq,
        bornBy,
        bornPid: pid,
        diedSeq: null,
        diedBy: '',
        before,
      };
      lives.set(key, life);
    },
    died({ seq, record, isOver }, context, id) {
      const life = lives.get(keyOf(context, id));
      if (life === undefined) return;
      life.diedSeq = seq;
      life.diedBy = isOver ? 'exit' : callName(record);
    },
    find: (context, id) => lives.get(keyOf(context, id)),
    all: () => [...lives.values()].filter(({ diedSeq }) => diedSeq === null),
    living: (context) =>
      [...lives.values()]
        .filter((life) => life.context === context && life.diedSeq === null)
        .sort((a, b) => a.id - b.id),
  };
}

export function bornLink({ bornSeq, bornBy, type, id }: Life): ChainLink {
  return { seq: bornSeq, role: 'created', says: `${bornBy} makes ${label(type, id)}` };
}

/** How the object went; none while it lives. */
export function diedLinks({ diedSeq, diedBy, type, id }: Life): ChainLink[] {
  if (diedSeq === null) return [];
  const says = `${diedBy} ${diedBy === 'IOMMU_DESTROY' ? 'destroys' : 'takes away'} ${label(type, id)}`;
  return [{ seq: diedSeq, role: 'destroyed', says }];
}
