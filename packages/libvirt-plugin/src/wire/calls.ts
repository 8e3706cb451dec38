import { z } from 'zod';
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
  readonly arguments: z.ZodType<Arguments>;
  readonly result: z.ZodType<Result>;
}

const call = <Arguments, Result>(
  name: string,
  args: z.ZodType<Arguments>,
  result: z.ZodType<Result>,
): Call<Arguments, Result> => ({ name, arguments: args, result });

const flag = z.boolean().optional();
const domain = { domain: Uuid };
const Nothing = z.object({});
const Done = z.null();

/** Every call, by its name in LibvirtConnection. */
export const calls = {
  open: call(
    'open',
    z.object({
      uri: Name,
      readOnly: flag,
      user: Name.optional(),
      password: Name.optional(),
      library: Name.optional(),
    }),
    Done,
  ),
  close: call('close', Nothing, Done),
  host: call('host', Nothing, HostSchema),
  domainCapabilities: call('domainCapabilities', Nothing, Text),
  listDomains: call('listDomains', Nothing, listOf(DomainSchema)),
  findDomain: call('findDomain', z.union([z.object({ name: Name }), z.object({ uuid: Name })]), DomainSchema),
  domainXml: call('domainXml', z.object({ ...domain, inactive: flag, secure: flag }), Text),
  defineDomain: call('defineDomain', z.object({ xml: Text }), DomainSchema),
  createTransientDomain: call('createTransientDomain', z.object({ xml: Text, paused: flag }), DomainSchema),
  undefineDomain: call(
    'undefineDomain',
    z.object({
      ...domain,
      checkpointsMetadata: flag,
      managedSave: flag,
      nvram: z.enum(['remove', 'keep']).optional(),
    }),
    Done,
  ),
  startDomain: call('startDomain', z.object({ ...domain, paused: flag }), Done),
  suspendDomain: call('suspendDomain', z.object(domain), Done),
  resumeDomain: call('resumeDomain', z.object(domain), Done),
  shutdownDomain: call('shutdownDomain', z.object({ ...domain, mode: z.enum(['acpi', 'agent']).optional() }), Done),
  destroyDomain: call('destroyDomain', z.object({ ...domain, graceful: flag }), Done),
  setAutostart: call('setAutostart', z.object({ ...domain, autostart: z.boolean() }), Done),
  hasManagedSave: call('hasManagedSave', z.object(domain), z.boolean()),
  blockFacts: call('blockFacts', z.object({ ...domain, disk: Name }), BlockSchema),
  diskErrors: call('diskErrors', z.object(domain), listOf(DiskErrorSchema)),
  beginBackup: call(
    'beginBackup',
    z.object({ ...domain, xml: Text, checkpointXml: Text.optional(), reuseExternal: flag }),
    Done,
  ),
  backupXml: call('backupXml', z.object(domain), Text.nullable()),
  jobFacts: call('jobFacts', z.object({ ...domain, completed: flag }), JobSchema),
  abortJob: call('abortJob', z.object(domain), Done),
  createCheckpoint: call('createCheckpoint', z.object({ ...domain, xml: Text, redefine: flag, validate: flag }), Name),
  listCheckpoints: call('listCheckpoints', z.object(domain), listOf(CheckpointSchema)),
  checkpointXml: call('checkpointXml', z.object({ ...domain, name: Name, size: flag, withoutDomain: flag }), Text),
  deleteCheckpoint: call('deleteCheckpoint', z.object({ ...domain, name: Name, metadataOnly: flag }), Done),
  monitor: call(
    'monitor',
    z.object({ ...domain, execute: z.enum(MONITOR_COMMANDS), values: z.record(Name, z.union([Name, z.boolean()])) }),
    Text,
  ),
  freeze: call('freeze', z.object({ ...domain, mountpoints: listOf(Name).optional() }), z.number().int()),
  thaw: call('thaw', z.object(domain), z.number().int()),
  fileSystems: call('fileSystems', z.object(domain), listOf(FileSystemSchema)),
  setAgentTimeout: call(
    'setAgentTimeout',
    z.object({ ...domain, seconds: z.number().int().nonnegative().nullable() }),
    Done,
  ),
} as const;
