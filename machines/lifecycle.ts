/**
 * A lifecycle as the model uses it: constants whose misspelling does not compile, and a step on the flat
 * table.
 */
import type { AnyStateMachine } from 'xstate';
import { compileMachine, type FlatMachine, step } from './compile.ts';
import {
  type EventGuards,
  type EventName,
  type GuardName,
  guardNames,
  type MachineDefinition,
  type StateName,
} from './definition.ts';

/**
 * Numbers of one lifecycle by name. `state` and `event` are indices into the table, `guard` holds bit masks
 * to be joined with `|`; `step` answers the next state or `REFUSED`.
 */
export interface Lifecycle<
  State extends string = string,
  Event extends string = string,
  Guard extends string = string,
> {
  readonly name: string;
  readonly definition: MachineDefinition;
  /** Compiled at first use: commands that replay nothing do not pay for it. */
  readonly flat: FlatMachine;
  /** Index of the state a new object is in. */
  readonly initial: number;
  readonly state: Readonly<Record<State, number>>;
  readonly event: Readonly<Record<Event, number>>;
  readonly guard: Readonly<Record<Guard, number>>;
  step(state: number, event: number, guards?: number): number;
}

/** Names → numbers, frozen and without a prototype, so that no inherited name answers. */
function numbered<Name extends string>(
  names: readonly string[],
  numberOf: (index: number) => number,
): Readonly<Record<Name, number>> {
  const entries = names.map((name, index): [string, number] => [name, numberOf(index)]);
  return Object.freeze(Object.assign(Object.create(null), Object.fromEntries(entries)));
}

/** Makes the constants of a definition and, at first use, its table. */
export function lifecycle<Machine extends AnyStateMachine, Table extends EventGuards>(
  definition: MachineDefinition<Machine, Table>,
): Lifecycle<StateName<Machine>, EventName<Table>, GuardName<Table>> {
  let compiled: FlatMachine | undefined;
  const flatOf = (): FlatMachine => {
    compiled ??= compileMachine(definition);
    return compiled;
  };
  return {
    name: definition.name,
    definition,
    get flat() {
      return flatOf();
    },
    get initial() {
      return flatOf().initial;
    },
    state: numbered(Object.keys(definition.machine.states), (index) => index),
    event: numbered(Object.keys(definition.eventGuards), (index) => index),
    guard: numbered(guardNames(definition.eventGuards), (index) => 1 << index),
    step: (state, event, guards = 0) => step(compiled ?? flatOf(), state, event, guards),
  };
}
