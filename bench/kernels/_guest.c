/* A kernel as a guest: call it, end with the answer. */
#include "kernel.h"
#include <denali.h>

int main(void) { denali_exit(kernel(N)); }
