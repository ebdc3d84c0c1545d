/**
 * A call of a trace by what it means: without the numbers that another run of the same program has others
 * of.
 */
export interface Meaning {
  readonly seq: number;
  /** Name of the command or operation. */
  readonly name: string;
  /** Kind of its descriptor, as recorded; empty for a call that has none. */
  readonly kind: string;
  readonly fields: readonly MeaningField[];
  /** All of it but which objects are meant, as one text: equal for calls that may stand for each other. */
  readonly shape: string;
  /** Objects and contexts that it made, in order: see `Side`. */
  readonly made: readonly number[];
  /** The sum over what the hardware holds after it. */
  readonly hardwareHigh: number;
  readonly hardwareLow: number;
  /** Calls so far after which the hardware held something else. */
  readonly changes: number;
  /** Why the model refuses it; empty when it does not, or answers otherwise than was recorded. */
  readonly why: string;
}

/** One thing that a call says or is answered. */
export interface MeaningField {
  readonly name: string;
  readonly text: string;
  /** The object that it names, by its number in `Side`; null when it names none. */
  readonly object: number | null;
  /** The object as a person knows it in this trace; null when it names none. */
  readonly label: string | null;
}

/** What of a trace is compared. */
export interface DiffOptions {
  /** Names of fields, of calls, or `CALL.field`, that are not compared. */
  readonly ignore?: readonly string[];
  /** Also what the guest does to the device: its registers, interrupts and mapped BARs. */
  readonly traffic?: boolean;
}
