import type { InjectionToken } from 'tsyringe';
import type { OpenLibvirt } from './connection.js';

/** Makes the connection to libvirt; a program or a test may register another one. */
export const OpenLibvirtToken: InjectionToken<OpenLibvirt> = Symbol('OpenLibvirt');
