import type { QemuSession } from './session.ts';
import type { EventValues } from './values.ts';

/**
 * Turns one event into calls. Answers false when the line does not hold what the event always has, and
 * `no call` when the event stands for none.
 */
export type EventHandler = (session: QemuSession, values: EventValues) => boolean | 'no call';
