import koffi from 'koffi';
import { doNothing, OwnedText, type Pointer } from './memory.js';

/** libvirt's library cannot be loaded, or lacks a function. */
export class LibraryError extends Error {}

/** Its name where libvirt's clients are installed; no headers and no `-dev` package are needed. */
const LIBRARY = process.platform === 'darwin' ? 'libvirt.0.dylib' : 'libvirt.so.0';

/** What libvirt offers for QEMU alone, in a library of its own (libvirt-qemu.h). */
const QEMU_LIBRARY = process.platform === 'darwin' ? 'libvirt-qemu.0.dylib' : 'libvirt-qemu.so.0';

/** The function that hands a command to a domain's QEMU. */
export type MonitorFunction = ReturnType<typeof bindMonitor>;

/** @throws LibraryError */
export function loadMonitorFunction(): MonitorFunction {
  try {
    return bindMonitor(QEMU_LIBRARY);
  } catch (error) {
    throw new LibraryError(`${QEMU_LIBRARY}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function bindMonitor(path: string): (domain: Pointer, command: string, result: Buffer, flags: number) => number {
  const native = koffi
    .load(path)
    .func('int virDomainQemuMonitorCommand(void *domain, const char *command, void *result, unsigned int flags)');
  return (...values) => {
    const result: unknown = native(...values);
    if (typeof result !== 'number') throw new Error(`virDomainQemuMonitorCommand gives ${typeof result}`);
    return result;
  };
}

/** The functions of libvirt that are used. All are called at once, never in a thread: its errors belong to the thread. */
export type Library = ReturnType<typeof bind>;

/**
 * @param path - instead of the system's library
 * @throws LibraryError
 */
export function loadLibrary(path: string = LIBRARY): Library {
  try {
    const library = bind(path);
    // Without a handler libvirt prints every error.
    library.setErrorFunction(null, doNothing());
    return library;
  } catch (error) {
    throw new LibraryError(`${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function bind(path: string) {
  const library = koffi.load(path);

  /** A function whose result is a C integer. */
  const int = <Arguments extends readonly unknown[]>(definition: string): ((...values: Arguments) => number) => {
    const native = library.func(definition);
    return (...values) => {
      const result: unknown = native(...values);
      if (typeof result !== 'number') throw new Error(`${definition} gives ${typeof result}`);
      return result;
    };
  };
  /** A function whose result is an object of libvirt's, to be freed. */
  const pointer = <Arguments extends readonly unknown[]>(
    definition: string,
  ): ((...values: Arguments) => Pointer | null) => {
    const native = library.func(definition);
    return (...values) => {
      const result: unknown = native(...values);
      return typeof result === 'bigint' ? result : null;
    };
  };
  /** A function whose result is a string that libvirt keeps. */
  const constText = <Arguments extends readonly unknown[]>(
    definition: string,
  ): ((...values: Arguments) => string | null) => textResult(library.func(definition));
  /** A function whose result is a string that the caller frees. */
  const ownedText = <Arguments extends readonly unknown[]>(
    name: string,
    parameters: readonly string[],
  ): ((...values: Arguments) => string | null) => textResult(library.func(name, OwnedText, [...parameters]));
  const nothing = <Arguments extends readonly unknown[]>(definition: string): ((...values: Arguments) => void) => {
    const native = library.func(definition);
    return (...values) => {
      native(...values);
    };
  };

  type Out = Buffer;
  type Flags = number;
  return {
    setErrorFunction: nothing<[null, Pointer]>('void virSetErrorFunc(void *data, void *handler)'),
    initialize: int<[]>('int virInitialize(void)'),
    lastErrorCode: int<[]>('int virGetLastErrorCode(void)'),
    lastErrorDomain: int<[]>('int virGetLastErrorDomain(void)'),
    lastErrorMessage: constText<[]>('const char *virGetLastErrorMessage(void)'),
    version: int<[Out, null, null]>('int virGetVersion(void *library, void *type, void *version)'),
    registerEventLoop: nothing<readonly Pointer[]>(
      'void virEventRegisterImpl(void *add_handle, void *update_handle, void *remove_handle, void *add_timeout, void *update_timeout, void *remove_timeout)',
    ),

    connectOpen: pointer<[string, Buffer, Flags]>(
      'void *virConnectOpenAuth(const char *name, void *auth, unsigned int flags)',
    ),
    connectClose: int<[Pointer]>('int virConnectClose(void *connection)'),
    connectIsAlive: int<[Pointer]>('int virConnectIsAlive(void *connection)'),
    connectSetKeepAlive: int<[Pointer, number, number]>(
      'int virConnectSetKeepAlive(void *connection, int interval, unsigned int count)',
    ),
    connectHostname: ownedText<[Pointer]>('virConnectGetHostname', ['void *']),
    connectUri: ownedText<[Pointer]>('virConnectGetURI', ['void *']),
    connectType: constText<[Pointer]>('const char *virConnectGetType(void *connection)'),
    connectLibraryVersion: int<[Pointer, Out]>('int virConnectGetLibVersion(void *connection, void *version)'),
    connectVersion: int<[Pointer, Out]>('int virConnectGetVersion(void *connection, void *version)'),
    connectDomainCapabilities: ownedText<[Pointer, null, null, null, null, Flags]>('virConnectGetDomainCapabilities', [
      'void *',
      'void *',
      'void *',
      'void *',
      'void *',
      'unsigned int',
    ]),
    connectListAllDomains: int<[Pointer, Out, Flags]>(
      'int virConnectListAllDomains(void *connection, void *domains, unsigned int flags)',
    ),
    connectRegisterDomainEvent: int<[Pointer, null, number, Pointer, null, null]>(
      'int virConnectDomainEventRegisterAny(void *connection, void *domain, int event, void *callback, void *opaque, void *free)',
    ),
    connectDeregisterDomainEvent: int<[Pointer, number]>(
      'int virConnectDomainEventDeregisterAny(void *connection, int id)',
    ),
    connectUnregisterClose: int<[Pointer, Pointer]>(
      'int virConnectUnregisterCloseCallback(void *connection, void *callback)',
    ),
    connectRegisterClose: int<[Pointer, Pointer, null, null]>(
      'int virConnectRegisterCloseCallback(void *connection, void *callback, void *opaque, void *free)',
    ),

    domainLookupByName: pointer<[Pointer, string]>('void *virDomainLookupByName(void *connection, const char *name)'),
    domainLookupByUuid: pointer<[Pointer, string]>(
      'void *virDomainLookupByUUIDString(void *connection, const char *uuid)',
    ),
    domainDefine: pointer<[Pointer, string, Flags]>(
      'void *virDomainDefineXMLFlags(void *connection, const char *xml, unsigned int flags)',
    ),
    domainCreateXml: pointer<[Pointer, string, Flags]>(
      'void *virDomainCreateXML(void *connection, const char *xml, unsigned int flags)',
    ),
    domainFree: int<[Pointer]>('int virDomainFree(void *domain)'),
    domainName: constText<[Pointer]>('const char *virDomainGetName(void *domain)'),
    domainUuid: int<[Pointer, Out]>('int virDomainGetUUIDString(void *domain, void *text)'),
    domainState: int<[Pointer, Out, Out, Flags]>(
      'int virDomainGetState(void *domain, void *state, void *reason, unsigned int flags)',
    ),
    domainIsActive: int<[Pointer]>('int virDomainIsActive(void *domain)'),
    domainIsPersistent: int<[Pointer]>('int virDomainIsPersistent(void *domain)'),
    domainGetAutostart: int<[Pointer, Out]>('int virDomainGetAutostart(void *domain, void *autostart)'),
    domainSetAutostart: int<[Pointer, number]>('int virDomainSetAutostart(void *domain, int autostart)'),
    domainHasManagedSave: int<[Pointer, Flags]>('int virDomainHasManagedSaveImage(void *domain, unsigned int flags)'),
    domainXml: ownedText<[Pointer, Flags]>('virDomainGetXMLDesc', ['void *', 'unsigned int']),
    domainUndefine: int<[Pointer, Flags]>('int virDomainUndefineFlags(void *domain, unsigned int flags)'),
    domainCreate: int<[Pointer, Flags]>('int virDomainCreateWithFlags(void *domain, unsigned int flags)'),
    domainSuspend: int<[Pointer]>('int virDomainSuspend(void *domain)'),
    domainResume: int<[Pointer]>('int virDomainResume(void *domain)'),
    domainShutdown: int<[Pointer, Flags]>('int virDomainShutdownFlags(void *domain, unsigned int flags)'),
    domainDestroy: int<[Pointer, Flags]>('int virDomainDestroyFlags(void *domain, unsigned int flags)'),
    domainBlockInfo: int<[Pointer, string, Out, Flags]>(
      'int virDomainGetBlockInfo(void *domain, const char *disk, void *info, unsigned int flags)',
    ),
    domainDiskErrors: int<[Pointer, Out | null, number, Flags]>(
      'int virDomainGetDiskErrors(void *domain, void *errors, unsigned int maximum, unsigned int flags)',
    ),

    domainBackupBegin: int<[Pointer, string, string | null, Flags]>(
      'int virDomainBackupBegin(void *domain, const char *backup, const char *checkpoint, unsigned int flags)',
    ),
    domainBackupXml: ownedText<[Pointer, Flags]>('virDomainBackupGetXMLDesc', ['void *', 'unsigned int']),
    domainJobStats: int<[Pointer, Out, Out, Out, Flags]>(
      'int virDomainGetJobStats(void *domain, void *type, void *parameters, void *count, unsigned int flags)',
    ),
    domainAbortJob: int<[Pointer]>('int virDomainAbortJob(void *domain)'),
    typedParametersFree: nothing<[Pointer, number]>('void virTypedParamsFree(void *parameters, int count)'),

    checkpointCreate: pointer<[Pointer, string, Flags]>(
      'void *virDomainCheckpointCreateXML(void *domain, const char *xml, unsigned int flags)',
    ),
    checkpointLookup: pointer<[Pointer, string, Flags]>(
      'void *virDomainCheckpointLookupByName(void *domain, const char *name, unsigned int flags)',
    ),
    checkpointListAll: int<[Pointer, Out, Flags]>(
      'int virDomainListAllCheckpoints(void *domain, void *checkpoints, unsigned int flags)',
    ),
    checkpointParent: pointer<[Pointer, Flags]>(
      'void *virDomainCheckpointGetParent(void *checkpoint, unsigned int flags)',
    ),
    checkpointName: constText<[Pointer]>('const char *virDomainCheckpointGetName(void *checkpoint)'),
    checkpointXml: ownedText<[Pointer, Flags]>('virDomainCheckpointGetXMLDesc', ['void *', 'unsigned int']),
    checkpointDelete: int<[Pointer, Flags]>('int virDomainCheckpointDelete(void *checkpoint, unsigned int flags)'),
    checkpointFree: int<[Pointer]>('int virDomainCheckpointFree(void *checkpoint)'),

    domainFreeze: int<[Pointer, readonly string[] | null, number, Flags]>(
      'int virDomainFSFreeze(void *domain, const char **mountpoints, unsigned int count, unsigned int flags)',
    ),
    domainThaw: int<[Pointer, null, number, Flags]>(
      'int virDomainFSThaw(void *domain, void *mountpoints, unsigned int count, unsigned int flags)',
    ),
    domainFileSystems: int<[Pointer, Out, Flags]>(
      'int virDomainGetFSInfo(void *domain, void *infos, unsigned int flags)',
    ),
    fileSystemFree: nothing<[Pointer]>('void virDomainFSInfoFree(void *info)'),
    domainSetAgentTimeout: int<[Pointer, number, Flags]>(
      'int virDomainAgentSetResponseTimeout(void *domain, int timeout, unsigned int flags)',
    ),
  };
}

function textResult<Arguments extends readonly unknown[]>(
  native: (...values: Arguments) => unknown,
): (...values: Arguments) => string | null {
  return (...values) => {
    const result = native(...values);
    return typeof result === 'string' ? result : null;
  };
}
