export { buildXml, type XmlElement } from './build.js';
export { appendElement, removeChildren, serializeXml, setText } from './edit.js';
export { attributeOf, childOf, childrenOf, parseXml, textOf } from './parse.js';
