export { type AtOnceOptions, atOnce } from './at-once.js';
export { type Clock, systemClock } from './clock.js';
export { pacedReader, pacedTarget } from './paced.js';
export { RateLimiter } from './rate-limiter.js';
