/**
 * Runs before each test file. Async hooks let tap name the test of an uncaught error, and take up to half
 * of the time of a file. Without hooks such an error fails the file.
 */
import asyncHooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'

const noHook: asyncHooks.AsyncHook = { enable: () => noHook, disable: () => noHook }

asyncHooks.createHook = () => noHook
syncBuiltinESMExports()
