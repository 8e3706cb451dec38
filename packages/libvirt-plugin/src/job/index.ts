export {
  dirtyContext,
  type JobDisk,
  type JobPlan,
  type JobServer,
  jobXml,
  parseJob,
  type RunningJob,
} from './job-xml.js';
export { endingOf, type LostJob, parseAnswer, parseState, type QemuState } from './qemu-state.js';
