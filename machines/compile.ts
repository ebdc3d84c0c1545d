/**
 * Compiles a lifecycle to a flat table by running XState, so that the model steps an array (a few ns) and not
 * a machine (about 12 µs). Nothing here reads the machine's transitions: XState alone decides, once per
 * entry.
 */
import { initialTransition } from 'xstate';
import { guardedEvent, guardNames, type MachineDefinition } from './definition.ts';
import { snapshotIn, stepMachine } from './step.ts';

/** The entry of a table where the lifecycle refuses the event. */
export const REFUSED = -1;

/** A lifecycle as a table. States, events and guards are named by their position in the lists. */
export interface FlatMachine {
  readonly name: string;
  readonly states: readonly string[];
  readonly events: readonly string[];
  readonly guards: readonly string[];
  /** For each event the mask of the guard bits it carries; the other bits never change its outcome. */
  readonly guardMasks: readonly number[];
  readonly initial: number;
  /** `[(state * events + event) << guards.length | guardBits]` → index of the next state, or `REFUSED`. */
  readonly next: Int16Array;
  /** For each state: is it an end, where every event is refused? */
  readonly final: readonly boolean[];
}

/** Mask of the bits of `some` within `all`. */
function maskOf(some: readonly string[], all: readonly string[]): number {
  return some.reduce((mask, guard) => mask | (1 << all.indexOf(guard)), 0);
}

/**
 * Throws unless the machine is what a table can hold: flat states, and no event the table does not declare.
 */
function assertFlat(definition: MachineDefinition): void {
  const { name, machine, eventGuards } = definition;
  if (machine.id !== name) throw new Error(`lifecycle ${name}: the id of its machine is ${machine.id}`);
  for (const node of Object.values(machine.states)) {
    if (Object.keys(node.states).length > 0)
      throw new Error(`lifecycle ${name}: ${node.key} has nested states`);
  }
  for (const event of machine.events) {
    if (!Object.hasOwn(eventGuards, event)) throw new Error(`lifecycle ${name}: ${event} is not declared`);
  }
}

/** Asks XState where every event leads from one state and writes the answers into the table. */
function fillState(flat: FlatMachine, definition: MachineDefinition, state: number): void {
  const { states, events, guards, guardMasks, next } = flat;
  const snapshot = snapshotIn(definition, states[state] ?? '');
  const width = 1 << guards.length;
  for (let event = 0; event < events.length; event++) {
    const mask = guardMasks[event] ?? 0;
    const base = (state * events.length + event) * width;
    for (let bits = 0; bits < width; bits++) {
      // A guard the event does not carry cannot matter, so XState is asked once and the answer repeated; a
      // test asks XState about these combinations too.
      if ((bits & mask) !== bits) {
        next[base + bits] = next[base + (bits & mask)] ?? REFUSED;
        continue;
      }
      const result = stepMachine(
        definition.machine,
        snapshot,
        guardedEvent(events[event] ?? '', guards, bits),
      );
      next[base + bits] = result.refused ? REFUSED : states.indexOf(String(result.snapshot.value));
    }
  }
}

/** The names of the guards one event carries, in the order of their bits. */
export function carriedGuards(flat: FlatMachine, event: number): readonly string[] {
  return flat.guards.filter((_, bit) => (((flat.guardMasks[event] ?? 0) >>> bit) & 1) === 1);
}

/**
 * The table of a lifecycle, made by running XState over states × events × outcomes of the guards. Throws when
 * the definition is wrong (nested states, an undeclared event, actions): that is our bug, found at start-up.
 */
export function compileMachine(definition: MachineDefinition): FlatMachine {
  assertFlat(definition);
  const { name, machine, eventGuards } = definition;
  const states = Object.keys(machine.states);
  const events = Object.keys(eventGuards);
  const guards = guardNames(eventGuards);
  const [first] = initialTransition(machine);
  const flat: FlatMachine = {
    name,
    states,
    events,
    guards,
    guardMasks: events.map((event) => maskOf(eventGuards[event] ?? [], guards)),
    initial: states.indexOf(String(first.value)),
    next: new Int16Array((states.length * events.length) << guards.length),
    final: states.map((state) => machine.states[state]?.type === 'final'),
  };
  for (let state = 0; state < states.length; state++) fillState(flat, definition, state);
  return flat;
}

/**
 * The next state, or `REFUSED`. Allocation-free. An index out of range throws: it is a number of another
 * lifecycle, or a step out of `REFUSED`, and would silently read a neighbour's entry.
 */
export function step(flat: FlatMachine, state: number, event: number, guardBits: number): number {
  const eventCount = flat.events.length;
  const guardCount = flat.guards.length;
  const next = flat.next[((state * eventCount + event) << guardCount) | guardBits];
  if (next === undefined || event < 0 || event >= eventCount || guardBits >>> guardCount !== 0) {
    throw new RangeError(
      `lifecycle ${flat.name}: no entry for state ${state}, event ${event}, guards ${guardBits}`,
    );
  }
  return next;
}
