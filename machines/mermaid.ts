/**
 * Diagrams of the lifecycles, drawn from the tables and not from the configs: what is printed is what the
 * model steps.
 */
import { carriedGuards, type FlatMachine, REFUSED } from './compile.ts';

/** One arrow of a lifecycle: an event that is accepted under a condition on its guards. */
export interface Transition {
  readonly from: string;
  readonly event: string;
  /** Conjunction of guards, `!` for not; empty when the event is always accepted here. */
  readonly when: readonly string[];
  readonly to: string;
}

/** Next state of one entry of the table. */
function entry(flat: FlatMachine, state: number, event: number, guardBits: number): number {
  return flat.next[((state * flat.events.length + event) << flat.guards.length) | guardBits] ?? REFUSED;
}

/**
 * The conditions under which one event leads somewhere from one state. Guards are decided one after another
 * in their order, and a guard whose outcome makes no difference is left out, so the conditions are disjoint
 * and short.
 */
function branches(flat: FlatMachine, state: number, event: number): readonly Transition[] {
  const from = flat.states[state] ?? '';
  const name = flat.events[event] ?? '';
  const guards = carriedGuards(flat, event);
  const found: Transition[] = [];
  const decide = (index: number, decided: number, open: number, when: readonly string[]): void => {
    const outcomes = new Set(submasks(open).map((bits) => entry(flat, state, event, decided | bits)));
    const guard = guards[index];
    if (outcomes.size === 1 || guard === undefined) {
      const to = entry(flat, state, event, decided);
      if (to !== REFUSED) found.push({ from, event: name, when, to: flat.states[to] ?? '' });
      return;
    }
    const bit = 1 << flat.guards.indexOf(guard);
    const rest = open & ~bit;
    const differs = submasks(rest).some(
      (bits) => entry(flat, state, event, decided | bits) !== entry(flat, state, event, decided | bit | bits),
    );
    if (differs) decide(index + 1, decided | bit, rest, [...when, guard]);
    decide(index + 1, decided, rest, differs ? [...when, `!${guard}`] : when);
  };
  decide(0, 0, flat.guardMasks[event] ?? 0, []);
  return found;
}

/** Every subset of the bits of `mask`, ascending. */
function submasks(mask: number): readonly number[] {
  const found: number[] = [];
  for (let bits = 0; bits <= mask; bits++) if ((bits & mask) === bits) found.push(bits);
  return found;
}

/** Every arrow of a lifecycle, by state, then event, then guard. */
export function transitionsOf(flat: FlatMachine): readonly Transition[] {
  return flat.states.flatMap((_, state) => flat.events.flatMap((_, event) => branches(flat, state, event)));
}

/** Label of an arrow: `RELEASE [last]`. */
function label(transition: Transition): string {
  return transition.when.length === 0
    ? transition.event
    : `${transition.event} [${transition.when.join(' & ')}]`;
}

/**
 * A mermaid `stateDiagram-v2` of a lifecycle. Arrows between the same two states share one line; an event
 * that is not drawn at a state is refused there.
 */
export function renderMermaid(flat: FlatMachine): string {
  const labels = new Map<string, string[]>();
  for (const transition of transitionsOf(flat)) {
    const arrow = `${transition.from} --> ${transition.to}`;
    const shared = labels.get(arrow);
    if (shared === undefined) labels.set(arrow, [label(transition)]);
    else shared.push(label(transition));
  }
  const arrows = [...labels].map(([arrow, texts]) => `  ${arrow} : ${texts.join(', ')}`);
  const ends = flat.states.filter((_, state) => flat.final[state]).map((state) => `  ${state} --> [*]`);
  return ['stateDiagram-v2', `  [*] --> ${flat.states[flat.initial] ?? ''}`, ...arrows, ...ends, ''].join(
    '\n',
  );
}

/**
 * A lifecycle as JSON text: states, events with their guards, arrows, and what each state refuses outright.
 */
export function renderJson(flat: FlatMachine): string {
  const transitions = transitionsOf(flat);
  const accepted = new Set(transitions.map(({ from, event }) => `${from} ${event}`));
  const machine = {
    name: flat.name,
    initial: flat.states[flat.initial],
    states: flat.states.map((name, state) => ({
      name,
      final: flat.final[state],
      refuses: flat.events.filter((event) => !accepted.has(`${name} ${event}`)),
    })),
    events: flat.events.map((name, event) => ({ name, guards: carriedGuards(flat, event) })),
    transitions,
  };
  return `${JSON.stringify(machine, null, 2)}\n`;
}
