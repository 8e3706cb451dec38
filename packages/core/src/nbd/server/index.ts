export * from './channel.js';
export * from './export.js';
export * from './listener.js';
export * from './option-codec.js';
export * from './request-codec.js';
export * from './server-flags.js';
export * from './socket-channel.js';
export * from './starttls.js';
