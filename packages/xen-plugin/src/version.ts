import { createRequire } from 'node:module';
import * as v from 'valibot';

const PackageSchema = v.object({ version: v.string() });

/** Of this package: sessions on the host carry it, so that an administrator sees whose they are. */
export const VERSION: string = v.parse(PackageSchema, createRequire(import.meta.url)('../package.json')).version;
