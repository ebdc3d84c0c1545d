/** Public entry of the object graph: the control state as nodes and references. */
export { type AreaFacts, listAreas } from './areas.ts';
export { containerKey, contextKey, objectKey } from './keys.ts';
export type { NodeFacts, NodeKind, NodeVisitor, ReferenceVisitor } from './node-facts.ts';
export { describeNodes } from './nodes.ts';
export { visitNodes, visitReferences, visitReferencesOf } from './references.ts';
