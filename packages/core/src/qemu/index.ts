export type * from './image-info.js';
