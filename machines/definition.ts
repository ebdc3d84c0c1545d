/**
 * What a lifecycle is made of: an XState machine, and the list of its events with the guards each of them
 * carries.
 *
 * The machine alone is not enough to enumerate a lifecycle: an event that every state refuses (`DESTROY` of a
 * device) appears nowhere in an XState config, and a guard there is a function, not a value. So the events
 * are declared once here, the event union is derived from them, and a guard outcome is a boolean the event
 * carries.
 */
import type { AnyStateMachine, SnapshotFrom } from 'xstate';

/** Event name → names of the guards that this event carries as booleans, in the order of their bits. */
export type EventGuards = Readonly<Record<string, readonly string[]>>;

/** Every event name of a table. */
export type EventName<Table extends EventGuards> = keyof Table & string;

/** Every guard name that any event of a table carries. */
export type GuardName<Table extends EventGuards> = Table[keyof Table][number];

/**
 * The closed union of the events of a table. An event must carry exactly the guards declared for it; the
 * others are typed as absent, so that a guard may read `event.last` on the whole union.
 */
export type EventOf<Table extends EventGuards> = {
  readonly [Event in EventName<Table>]: { readonly type: Event } & {
    readonly [Guard in Table[Event][number]]: boolean;
  } & { readonly [Guard in Exclude<GuardName<Table>, Table[Event][number]>]?: never };
}[EventName<Table>];

/** The state names of a machine without nested states. */
export type StateName<Machine extends AnyStateMachine> = SnapshotFrom<Machine>['value'] & string;

/** One lifecycle as written by hand: the source that tables, diagrams and constants are made from. */
export interface MachineDefinition<
  Machine extends AnyStateMachine = AnyStateMachine,
  Table extends EventGuards = EventGuards,
> {
  /** Name of the lifecycle, equal to its key in `lifecycles` and to the id of the machine. */
  readonly name: string;
  /** One line for people who read the diagram. */
  readonly title: string;
  readonly machine: Machine;
  readonly eventGuards: Table;
}

/** An event as the enumeration builds it; the event unions of the machines are narrower. */
export interface GuardedEvent {
  readonly type: string;
  readonly [guard: string]: string | boolean;
}

/** The guards of a table, each once, in order of first appearance; the position is the number of its bit. */
export function guardNames(eventGuards: EventGuards): readonly string[] {
  return [...new Set(Object.values(eventGuards).flat())];
}

/** The event `type` with every guard of `guards` set to its bit in `guardBits`. */
export function guardedEvent(type: string, guards: readonly string[], guardBits: number): GuardedEvent {
  const outcomes = guards.map((guard, bit): [string, boolean] => [guard, ((guardBits >>> bit) & 1) === 1]);
  return { ...Object.fromEntries(outcomes), type };
}
