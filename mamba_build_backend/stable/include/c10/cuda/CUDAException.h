#pragma once
#include <mamba_stable/cuda_error.h>
