/** Public entry of `src/trace/resources`: what numbers in a trace stand for. */
export type * from './resource.ts';
export { type Site, type SiteRole, setValueAt, sitesOf, valueAt, wordAt } from './site.ts';
export { createResourceTracker, type ResourceTracker } from './tracker.ts';
export type { InitialMemory } from './world.ts';
