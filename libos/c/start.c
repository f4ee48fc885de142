/* From the machine's entry state to main. The kernel has set sp and tp and cleared every other register; memory holds
 * data and zeroed bss already, so only constructors remain to be run. */
#include <stdlib.h>

int main(int argc, char **argv);

extern void (*const __init_array_start[])(void);
extern void (*const __init_array_end[])(void);

_Noreturn void _start(void) {
    static char name[] = "guest";
    static char *arguments[] = {name, NULL};
    for (void (*const *constructor)(void) = __init_array_start; constructor < __init_array_end; constructor++)
        (*constructor)();
    exit(main(1, arguments));
}
