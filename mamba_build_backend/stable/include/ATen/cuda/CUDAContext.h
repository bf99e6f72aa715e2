#pragma once
#include <mamba_stable/binding.h>
