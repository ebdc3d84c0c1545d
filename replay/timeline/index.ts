/** Public entry of timelines: any point of a trace, and since when things are as they are. */
export { type HardwareSlot, hardwareSlots } from './hardware-slots.ts';
export { sumText } from './hash.ts';
export { type MemoryRoles, roleOfIdentity, roleOfPage, roleOfUserPage, roleText } from './memory-roles.ts';
export { createStepper, type Stepper, type StepVisitor } from './stepper.ts';
export { CHANGES_KEPT, openTimeline, SHORT_CALLS, type Timeline, type TimelineOptions } from './timeline.ts';
export { sinceOf, type Tracker } from './tracker.ts';
