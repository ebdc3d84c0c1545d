/**
 * One step the XState way. It is the slow reference (about 12 µs a step) that the flat tables are proved
 * equal to; tests and the naive baseline of the bench use it, the model does not.
 */
import { type AnyMachineSnapshot, type AnyStateMachine, transition } from 'xstate';
import type { MachineDefinition } from './definition.ts';

/** Why a step did not happen: the state does not take this event, or not with these guard outcomes. */
export interface StepRefusal {
  readonly refused: true;
  readonly machine: string;
  readonly state: string;
  readonly event: string;
}

/** What came of a step: the next snapshot, or a refusal. */
export type StepResult = { readonly refused: false; readonly snapshot: AnyMachineSnapshot } | StepRefusal;

/**
 * Moves a snapshot by one event, or says that the lifecycle refuses it. XState hands back the same snapshot
 * for an unknown event, a false guard and a finished machine alike, and also for an accepted self-transition;
 * only `snapshot.can` tells them apart, so it is asked first.
 */
export function stepMachine(
  machine: AnyStateMachine,
  snapshot: AnyMachineSnapshot,
  event: { readonly type: string },
): StepResult {
  if (snapshot.status !== 'active' || !snapshot.can(event)) {
    return { refused: true, machine: machine.id, state: String(snapshot.value), event: event.type };
  }
  const [next, actions] = transition(machine, snapshot, event);
  if (actions.length > 0) throw new Error(`${machine.id}: a lifecycle machine must not have actions`);
  return { refused: false, snapshot: next };
}

/**
 * The snapshot of a machine placed in `state`, however it got there: lifecycles have no memory but their
 * state.
 */
export function snapshotIn(definition: MachineDefinition, state: string): AnyMachineSnapshot {
  return definition.machine.resolveState({ value: state, context: {} });
}
