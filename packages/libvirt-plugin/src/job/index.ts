export {
  dirtyContext,
  type JobDisk,
  type JobPlan,
  type JobServer,
  jobXml,
  parseJob,
  type RunningJob,
} from './job-xml.js';
