/* A stand-in for NVIDIA's libnvidia-ml.so.1: two GPUs whose values are known, so that GPU code is tested without one.

   NVML_STAND_IN_LOST_GPU=<index>       that GPU falls off the bus (NVML_ERROR_GPU_IS_LOST) ...
   NVML_STAND_IN_LOST_AFTER=<calls>     ... after it has answered so many calls (0 when not set)
   NVML_STAND_IN_DENIED=1               nvmlInit answers NVML_ERROR_NO_PERMISSION
   NVML_STAND_IN_MIG=1                  GPU 0 is in MIG mode: no utilisation, no memory of the parent
   NVML_STAND_IN_PID=<pid>              the one process on GPU 0; the calling process when not set                    */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, INSUFFICIENT_SIZE = 7,
    GPU_IS_LOST = 15
};

typedef struct { int index; int calls; } Device;
typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned int gpu, memory; } Utilization;
typedef struct { unsigned int pid; unsigned long long used; unsigned int gpu_instance, compute_instance; } ProcessInfo;

static Device devices[2] = {{0, 0}, {1, 0}};
static int opened = 0;

static int number(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text && *text ? atoi(text) : otherwise;
}

/* Every question to a device passes here, so that one can fall off the bus between any two of them. */
static int ask(Device *device) {
    if (!opened) return UNINITIALIZED;
    if (device != &devices[0] && device != &devices[1]) return INVALID_ARGUMENT;
    if (device->index == number("NVML_STAND_IN_LOST_GPU", -1)
        && device->calls++ >= number("NVML_STAND_IN_LOST_AFTER", 0)) return GPU_IS_LOST;
    return SUCCESS;
}

static int is_mig(Device *device) { return device->index == 0 && number("NVML_STAND_IN_MIG", 0); }

static int put_text(char *target, unsigned int size, const char *text) {
    if (size <= strlen(text)) return INSUFFICIENT_SIZE;
    strcpy(target, text);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (number("NVML_STAND_IN_DENIED", 0)) return NO_PERMISSION;
    opened++;
    return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!opened) return UNINITIALIZED;
    opened--;
    return SUCCESS;
}

const char *nvmlErrorString(int result) {
    switch (result) {
    case SUCCESS: return "Success";
    case NOT_SUPPORTED: return "Not Supported";
    case NO_PERMISSION: return "Insufficient Permissions";
    case GPU_IS_LOST: return "GPU is lost";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned int size) { return put_text(version, size, "550.54.15"); }
int nvmlSystemGetNVMLVersion(char *version, unsigned int size) { return put_text(version, size, "12.550.54.15"); }
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 12040; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!opened) return UNINITIALIZED;
    *count = 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, Device **device) {
    if (!opened) return UNINITIALIZED;
    if (index > 1) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetIndex(Device *device, unsigned int *index) {
    int result = ask(device);
    if (result == SUCCESS) *index = (unsigned int)device->index;
    return result;
}

int nvmlDeviceGetName(Device *device, char *name, unsigned int size) {
    int result = ask(device);
    return result ? result : put_text(name, size, device->index ? "Stand-in GPU B" : "Stand-in GPU A");
}

int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned int size) {
    int result = ask(device);
    char text[64];
    if (result) return result;
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-00000000000%d", device->index);
    return put_text(uuid, size, text);
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *memory) {
    int result = ask(device);
    if (result) return result;
    if (is_mig(device)) return NO_PERMISSION;
    memory->total = 16ULL << 30;
    memory->used = (device->index ? 8ULL : 4ULL) << 30;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(Device *device, Utilization *rates) {
    int result = ask(device);
    if (result) return result;
    if (is_mig(device)) return NOT_SUPPORTED;
    rates->gpu = device->index ? 90 : 42;
    rates->memory = 30;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned int *degrees) {
    int result = ask(device);
    if (result) return result;
    if (sensor != 0) return INVALID_ARGUMENT;
    *degrees = device->index ? 70 : 55;
    return SUCCESS;
}

/* GPU 1 refuses power, as many laptops and vGPUs do. */
int nvmlDeviceGetPowerUsage(Device *device, unsigned int *milliwatts) {
    int result = ask(device);
    if (result) return result;
    if (device->index == 1) return NOT_SUPPORTED;
    *milliwatts = 123456;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(Device *device, unsigned int *current, unsigned int *pending) {
    int result = ask(device);
    if (result) return result;
    if (device->index == 1) return NOT_SUPPORTED;
    *current = *pending = (unsigned int)is_mig(device);
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned int *count, ProcessInfo *processes) {
    int result = ask(device);
    if (result) return result;
    if (device->index == 1) { *count = 0; return SUCCESS; }
    if (*count < 1 || !processes) { *count = 1; return INSUFFICIENT_SIZE; }
    processes[0].pid = (unsigned int)number("NVML_STAND_IN_PID", (int)getpid());
    processes[0].used = 3ULL << 30;
    processes[0].gpu_instance = processes[0].compute_instance = 0xFFFFFFFFu;
    *count = 1;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(Device *device, unsigned int *count, ProcessInfo *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}
