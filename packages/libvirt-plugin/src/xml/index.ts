export { buildXml, type XmlElement } from './build.js';
export { attributeOf, childOf, childrenOf, parseXml, textOf } from './parse.js';
