// Where oidc-provider keeps its state: a Map that outlives a restart of the
// provider, as a real provider's database would.
export function adapterOn(storage) {
  return class {
    constructor(model) {
      this.model = model;
    }

    key(id) {
      return `${this.model}:${id}`;
    }

    async upsert(id, payload) {
      storage.set(this.key(id), structuredClone(payload));
    }

    async find(id) {
      return structuredClone(storage.get(this.key(id)));
    }

    async findByUid(uid) {
      return [...storage].find(([key, payload]) => key.startsWith(`${this.model}:`) && payload.uid === uid)?.[1];
    }

    async findByUserCode() {
      return undefined;
    }

    async consume(id) {
      storage.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
    }

    async destroy(id) {
      storage.delete(this.key(id));
    }

    async revokeByGrantId(grantId) {
      for (const [key, payload] of storage) if (payload.grantId === grantId) storage.delete(key);
    }
  };
}
