/** Public entry of the object graph: the control state as nodes and references. */
export { type AreaFacts, listAreas } from './areas.ts';
export { containerKey, objectKey } from './keys.ts';
export { describeNodes, type NodeFacts, type NodeKind } from './nodes.ts';
export { type NodeVisitor, type ReferenceVisitor, visitNodes, visitReferences } from './references.ts';
