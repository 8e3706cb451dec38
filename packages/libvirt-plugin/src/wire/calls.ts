import * as v from 'valibot';
import { MONITOR_COMMANDS } from '../connection/index.js';
import {
  BlockSchema,
  CheckpointSchema,
  DiskErrorSchema,
  DomainSchema,
  FileSystemSchema,
  HostSchema,
  JobSchema,
  listOf,
  Name,
  Text,
  Uuid,
} from './facts-schema.js';

/** A call that the process with libvirt in it can make: what goes there and what comes back. */
export interface Call<Arguments, Result> {
  readonly name: string;
  readonly arguments: v.GenericSchema<unknown, Arguments>;
  readonly result: v.GenericSchema<unknown, Result>;
}

const call = <Arguments, Result>(
  name: string,
  args: v.GenericSchema<unknown, Arguments>,
  result: v.GenericSchema<unknown, Result>,
): Call<Arguments, Result> => ({ name, arguments: args, result });

const flag = v.optional(v.boolean());
const domain = { domain: Uuid };
const Nothing = v.object({});
const Done = v.null();

/** Every call, by its name in LibvirtConnection. */
export const calls = {
  open: call(
    'open',
    v.object({
      uri: Name,
      readOnly: flag,
      user: v.optional(Name),
      password: v.optional(Name),
      library: v.optional(Name),
    }),
    Done,
  ),
  close: call('close', Nothing, Done),
  host: call('host', Nothing, HostSchema),
  domainCapabilities: call('domainCapabilities', Nothing, Text),
  listDomains: call('listDomains', Nothing, listOf(DomainSchema)),
  findDomain: call('findDomain', v.union([v.object({ name: Name }), v.object({ uuid: Name })]), DomainSchema),
  domainXml: call('domainXml', v.object({ ...domain, inactive: flag, secure: flag }), Text),
  defineDomain: call('defineDomain', v.object({ xml: Text }), DomainSchema),
  createTransientDomain: call('createTransientDomain', v.object({ xml: Text, paused: flag }), DomainSchema),
  undefineDomain: call(
    'undefineDomain',
    v.object({
      ...domain,
      checkpointsMetadata: flag,
      managedSave: flag,
      nvram: v.optional(v.picklist(['remove', 'keep'])),
    }),
    Done,
  ),
  startDomain: call('startDomain', v.object({ ...domain, paused: flag }), Done),
  suspendDomain: call('suspendDomain', v.object(domain), Done),
  resumeDomain: call('resumeDomain', v.object(domain), Done),
  shutdownDomain: call(
    'shutdownDomain',
    v.object({ ...domain, mode: v.optional(v.picklist(['acpi', 'agent'])) }),
    Done,
  ),
  destroyDomain: call('destroyDomain', v.object({ ...domain, graceful: flag }), Done),
  setAutostart: call('setAutostart', v.object({ ...domain, autostart: v.boolean() }), Done),
  hasManagedSave: call('hasManagedSave', v.object(domain), v.boolean()),
  blockFacts: call('blockFacts', v.object({ ...domain, disk: Name }), BlockSchema),
  diskErrors: call('diskErrors', v.object(domain), listOf(DiskErrorSchema)),
  beginBackup: call(
    'beginBackup',
    v.object({ ...domain, xml: Text, checkpointXml: v.optional(Text), reuseExternal: flag }),
    Done,
  ),
  backupXml: call('backupXml', v.object(domain), v.nullable(Text)),
  jobFacts: call('jobFacts', v.object({ ...domain, completed: flag }), JobSchema),
  abortJob: call('abortJob', v.object(domain), Done),
  createCheckpoint: call('createCheckpoint', v.object({ ...domain, xml: Text, redefine: flag, validate: flag }), Name),
  listCheckpoints: call('listCheckpoints', v.object(domain), listOf(CheckpointSchema)),
  checkpointXml: call('checkpointXml', v.object({ ...domain, name: Name, size: flag, withoutDomain: flag }), Text),
  deleteCheckpoint: call('deleteCheckpoint', v.object({ ...domain, name: Name, metadataOnly: flag }), Done),
  monitor: call(
    'monitor',
    v.object({
      ...domain,
      execute: v.picklist(MONITOR_COMMANDS),
      values: v.record(Name, v.union([Name, v.boolean()])),
    }),
    Text,
  ),
  freeze: call(
    'freeze',
    v.object({ ...domain, mountpoints: v.optional(listOf(Name)) }),
    v.pipe(v.number(), v.safeInteger()),
  ),
  thaw: call('thaw', v.object(domain), v.pipe(v.number(), v.safeInteger())),
  fileSystems: call('fileSystems', v.object(domain), listOf(FileSystemSchema)),
  setAgentTimeout: call(
    'setAgentTimeout',
    v.object({ ...domain, seconds: v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(0))) }),
    Done,
  ),
} as const;
