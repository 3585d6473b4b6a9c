// Makes wrk show a client certificate, which it has no option for. Preloaded; DEVICE_CERTIFICATE and DEVICE_KEY name PEM files.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>

enum { PEM = 1 };
typedef void *make(const void *method);
typedef int take(void *context, const char *file, int type);

static void *next(const char *name) {
  void *found = dlsym(RTLD_NEXT, name);
  if (!found) abort();
  return found;
}

void *SSL_CTX_new(const void *method) {
  void *context = ((make *)next("SSL_CTX_new"))(method);
  if (((take *)next("SSL_CTX_use_certificate_file"))(context, getenv("DEVICE_CERTIFICATE"), PEM) != 1) abort();
  if (((take *)next("SSL_CTX_use_PrivateKey_file"))(context, getenv("DEVICE_KEY"), PEM) != 1) abort();
  return context;
}
