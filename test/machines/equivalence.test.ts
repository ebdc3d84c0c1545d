/**
 * The tables are the machines: every state × event × guard outcome, against XState actors that walked there.
 */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type AnyActor, createActor, setup, transition } from 'xstate';
import {
  compileMachine,
  type FlatMachine,
  guardedEvent,
  type Lifecycle,
  lifecycles,
  REFUSED,
  snapshotIn,
  step,
  stepMachine,
} from '../../machines/index.ts';

interface Move {
  readonly event: number;
  readonly bits: number;
}

const all: readonly Lifecycle[] = Object.values(lifecycles);

/**
 * Every event with every outcome of every guard of the lifecycle, also of guards the event does not carry.
 */
function movesOf(flat: FlatMachine): readonly Move[] {
  const outcomes = Array.from({ length: 1 << flat.guards.length }, (_, bits) => bits);
  return flat.events.flatMap((_, event) => outcomes.map((bits) => ({ event, bits })));
}

function eventOf(flat: FlatMachine, move: Move): { readonly type: string } {
  return guardedEvent(flat.events[move.event]!, flat.guards, move.bits);
}

/** State → shortest sequence of moves from the initial state, by breadth-first search over the table. */
function pathsOf(flat: FlatMachine): ReadonlyMap<number, readonly Move[]> {
  const paths = new Map<number, readonly Move[]>([[flat.initial, []]]);
  for (const [state, path] of paths) {
    for (const move of movesOf(flat)) {
      const next = step(flat, state, move.event, move.bits);
      if (next !== REFUSED && !paths.has(next)) paths.set(next, [...path, move]);
    }
  }
  return paths;
}

/** An actor of the real machine that was sent `path`; it never saw the table. */
function actorAfter({ flat, definition }: Lifecycle, path: readonly Move[]): AnyActor {
  const actor = createActor(definition.machine).start();
  for (const move of path) actor.send(eventOf(flat, move));
  return actor;
}

describe.each(all)('the table of $name', (lifecycle) => {
  const { flat, definition } = lifecycle;
  const paths = pathsOf(flat);

  test('reaches every state from the initial one', () => {
    expect([...paths.keys()].sort((a, b) => a - b)).toEqual(flat.states.map((_, state) => state));
  });

  test('equals XState on every state × event × guard combination', () => {
    let combinations = 0;
    let refused = 0;
    for (const [state, path] of paths) {
      for (const move of movesOf(flat)) {
        const actor = actorAfter(lifecycle, path);
        const before = actor.getSnapshot();
        expect(before.value).toBe(flat.states[state]);
        const accepted = before.status === 'active' && before.can(eventOf(flat, move));
        // A finished actor only warns about what it is sent; the pure transition is asked about it below.
        if (before.status === 'active') actor.send(eventOf(flat, move));
        const next = step(flat, state, move.event, move.bits);
        const where = `${flat.states[state]} ${flat.events[move.event]} ${move.bits}`;
        expect(next !== REFUSED, where).toBe(accepted);
        expect(actor.getSnapshot().value, where).toBe(flat.states[accepted ? next : state]);
        combinations++;
        if (!accepted) refused++;
      }
    }
    expect(combinations).toBe(flat.next.length);
    expect(combinations).toBeGreaterThan(0);
    expect(refused).toBeGreaterThan(0);
    expect(refused).toBeLessThan(combinations);
  });

  test('equals the pure transition function on every combination', () => {
    for (const [state, name] of flat.states.entries()) {
      const snapshot = snapshotIn(definition, name);
      for (const move of movesOf(flat)) {
        const [next, actions] = transition(definition.machine, snapshot, eventOf(flat, move));
        const stepped = step(flat, state, move.event, move.bits);
        expect(next.value).toBe(flat.states[stepped === REFUSED ? state : stepped]);
        expect(actions).toEqual([]);
        expect(stepMachine(definition.machine, snapshot, eventOf(flat, move)).refused).toBe(
          stepped === REFUSED,
        );
      }
    }
  });

  test('refuses every event in a final state, and only there', () => {
    for (const state of flat.states.keys()) {
      const refusals = movesOf(flat).filter(({ event, bits }) => step(flat, state, event, bits) === REFUSED);
      expect(refusals.length === movesOf(flat).length).toBe(flat.final[state]);
    }
  });

  test('carries no guard that never decides anything', () => {
    for (const [bit, guard] of flat.guards.entries()) {
      const decides = flat.states.some((_, state) =>
        movesOf(flat).some(
          ({ event, bits }) => step(flat, state, event, bits) !== step(flat, state, event, bits ^ (1 << bit)),
        ),
      );
      expect(decides, guard).toBe(true);
    }
  });

  test('follows XState on random walks', () => {
    const moves = movesOf(flat);
    const walk = fc.array(fc.nat({ max: moves.length - 1 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(walk, (indices) => {
        let state = flat.initial;
        let snapshot = snapshotIn(definition, flat.states[state]!);
        for (const index of indices) {
          const move = moves[index]!;
          const next = step(flat, state, move.event, move.bits);
          const result = stepMachine(definition.machine, snapshot, eventOf(flat, move));
          expect(result.refused).toBe(next === REFUSED);
          if (!result.refused) snapshot = result.snapshot;
          if (next !== REFUSED) state = next;
          expect(snapshot.value).toBe(flat.states[state]);
        }
      }),
      { seed: 20261120, numRuns: 60 },
    );
  });
});

test('the number of combinations is known', () => {
  const counts = all.map(({ name, flat }) => `${name} ${flat.next.length}`);
  expect(counts).toMatchInlineSnapshot(`
    [
      "context 24",
      "ioas 66",
      "hwptPaging 800",
      "hwptNested 192",
      "device 42",
      "attachmentSlot 96",
      "pasid 288",
      "access 21",
      "faultQueue 70",
      "viommu 48",
      "vdevice 6",
      "veventq 12",
      "hwQueue 9",
      "ioasidSet 32",
      "pasidTeardown 49",
      "proposalGroup 48",
      "proposalIoas 144",
    ]
  `);
});

describe('a wrong definition is caught when it is made, not when it is stepped', () => {
  test('a transition to a state that does not exist', () => {
    // TypeScript does not see transition targets; creating the machine does, and `lifecycles` creates all of
    // them.
    expect(() =>
      setup({}).createMachine({ id: 'x', initial: 'a', states: { a: { on: { GO: 'nowhere' } } } }),
    ).toThrow('nowhere');
  });

  test('an event that the lifecycle does not declare', () => {
    const machine = setup({}).createMachine({ id: 'x', initial: 'a', states: { a: { on: { GO: 'a' } } } });
    const definition = { name: 'x', title: '', machine, eventGuards: { STOP: [] } };
    expect(() => compileMachine(definition)).toThrow('GO is not declared');
  });

  test('a machine with nested states', () => {
    const machine = setup({}).createMachine({
      id: 'x',
      initial: 'a',
      states: { a: { initial: 'b', states: { b: {} } } },
    });
    expect(() => compileMachine({ name: 'x', title: '', machine, eventGuards: {} })).toThrow('nested');
  });

  test('a machine with actions', () => {
    const machine = setup({ actions: { note: () => undefined } }).createMachine({
      id: 'x',
      initial: 'a',
      states: { a: { on: { GO: { target: 'a', actions: 'note' } } } },
    });
    expect(() => compileMachine({ name: 'x', title: '', machine, eventGuards: { GO: [] } })).toThrow(
      'actions',
    );
  });

  test('a machine under another id', () => {
    const machine = setup({}).createMachine({ id: 'y', initial: 'a', states: { a: {} } });
    expect(() => compileMachine({ name: 'x', title: '', machine, eventGuards: {} })).toThrow('is y');
  });
});
