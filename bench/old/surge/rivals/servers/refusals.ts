/** Nobody is signed in, as far as is known: 401. */
export class NotSignedIn extends Error {
  override readonly name = 'NotSignedIn'
  readonly statusCode = 401
  readonly code = 'not_signed_in'
}

/** What is needed to answer is out of reach for now: 503 with `Retry-After`, which clients heed. */
export class StoreAway extends Error {
  override readonly name = 'StoreAway'
}
