export * from './events.js';
export * from './image.js';
export * from './jobs.js';
export * from './manifest.js';
export * from './repository.js';
