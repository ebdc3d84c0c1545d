/** Public entry of `machines/`: lifecycles of the kernel's objects, their tables and their diagrams. */
export { type AccessEvent, accessLifecycle } from './access.ts';
export { type AttachmentSlotEvent, attachmentSlotLifecycle } from './attachment-slot.ts';
export { compileMachine, type FlatMachine, REFUSED, step } from './compile.ts';
export { type ContextEvent, contextLifecycle } from './context.ts';
export { type EventGuards, type EventOf, guardedEvent, type MachineDefinition } from './definition.ts';
export { type DeviceEvent, deviceLifecycle } from './device.ts';
export { type FaultQueueEvent, faultQueueLifecycle } from './fault-queue.ts';
export { type HwptNestedEvent, hwptNestedLifecycle } from './hwpt-nested.ts';
export { type HwptPagingEvent, hwptPagingLifecycle } from './hwpt-paging.ts';
export { type IoasEvent, ioasLifecycle } from './ioas.ts';
export { type Lifecycle, lifecycle } from './lifecycle.ts';
export { type LifecycleName, lifecycles } from './lifecycles.ts';
export { renderJson, renderMermaid } from './mermaid.ts';
export { type PasidEvent, pasidLifecycle } from './pasid.ts';
export { type StepRefusal, type StepResult, snapshotIn, stepMachine } from './step.ts';
