import type { InjectionToken } from 'tsyringe';
import type { ExportOpener } from './context.js';

/** Opens the exports of a backup job. */
export const ExportOpenerToken: InjectionToken<ExportOpener> = Symbol('ExportOpener');
