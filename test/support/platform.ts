/** The reason to skip a test of the file key store, which refuses to work without permissions. */
export const lacksPermissions =
  process.platform === 'win32' && 'Windows has no file permissions of POSIX'
