/** Prints the address of every module that importing the package loads. */
import { registerHooks } from 'node:module'

const loaded = []
registerHooks({
  load(url, context, next) {
    loaded.push(url)
    return next(url, context)
  },
})
await import('@gatepass/verifier')
console.log(JSON.stringify(loaded))
